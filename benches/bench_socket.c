/* bench_socket library|relay PATH: a socket at PATH for other clients' libraries. `library`: libsentinel serves whoever
 * connects (SERVICE and SENTINELS as `lab run` sets them). `relay`: a thread for each that copies bytes to the primary at
 * PORT and back, one answer for one request: the least that anything in between costs. Prints "ready" and the id of the
 * process, and ends when nothing is left of its input. */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sentinel.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void must(sentinel_status_t status, sentinel_error_t *error) {
    if (status != SENTINEL_OK)
        bench_fail(error != NULL ? sentinel_error_message(error, NULL) : sentinel_status_name(status));
}

static sentinel_client_t *open_client(void) {
    sentinel_error_t *error = NULL;
    sentinel_t *deployment = NULL;
    sentinel_client_t *client = NULL;
    sentinel_options_t *options = sentinel_options_new();
    char sentinels[1024];
    snprintf(sentinels, sizeof sentinels, "%s", getenv("SENTINELS"));
    for (char *each = strtok(sentinels, ","); each != NULL; each = strtok(NULL, ",")) {
        char *port = strrchr(each, ':');
        *port++ = '\0';
        must(sentinel_options_add_sentinel(options, each, (uint16_t)atoi(port), &error), error);
    }
    must(sentinel_open(options, &deployment, &error), error);
    must(sentinel_primary_for(deployment, getenv("SERVICE"), NULL, &client, &error), error);
    sentinel_options_free(options);
    return client;
}

static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (strlen(path) >= sizeof address.sun_path)
        bench_fail("the path is too long");
    strcpy(address.sun_path, path);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 128) != 0)
        bench_fail("the path cannot be listened at");
    return fd;
}

static int connect_to_primary(void) {
    const char *port = getenv("PORT");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port != NULL ? port : "6379"))};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        bench_fail("no connection");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void *relay(void *argument) {
    static _Thread_local char bytes[64 * 1024];
    int peer = (int)(intptr_t)argument, primary = connect_to_primary();
    for (;;) {
        ssize_t len = read(peer, bytes, sizeof bytes);
        if (len <= 0 || write(primary, bytes, (size_t)len) != len)
            break;
        len = read(primary, bytes, sizeof bytes);
        if (len <= 0 || write(peer, bytes, (size_t)len) != len)
            break;
    }
    close(primary);
    close(peer);
    return NULL;
}

typedef struct door {
    int listener;
    sentinel_client_t *client; /* NULL: relays */
} door;

static void *accept_all(void *argument) {
    const door *door = argument;
    for (;;) {
        sentinel_error_t *error = NULL;
        pthread_t thread;
        int fd = accept(door->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        if (door->client != NULL)
            must(sentinel_client_serve(door->client, fd, &error), error);
        else if (pthread_create(&thread, NULL, relay, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
}

int main(int argc, char **argv) {
    static door door;
    pthread_t thread;
    char byte;
    if (argc != 3) {
        fprintf(stderr, "usage: %s library|relay PATH\n", argv[0]);
        return 2;
    }
    if (strcmp(argv[1], "library") == 0)
        door.client = open_client();
    door.listener = listen_at(argv[2]);
    if (pthread_create(&thread, NULL, accept_all, &door) != 0)
        bench_fail("no thread");
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    unlink(argv[2]);
    return 0;
}
