/*
 * needs: topology. Called with SERVICE HOST:PORT... A socket of a client's speaks RESP, and so does one that was accepted;
 * what is no such socket stays the caller's.
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "live.h"

static void say(int fd, const char *text)
{
    size_t len = strlen(text);

    CHECK(write(fd, text, len) == (ssize_t)len);
}

/* Reads what must come next. */
static void hear(int fd, const char *wanted)
{
    char text[256] = "";
    size_t got = 0, len = strlen(wanted);

    CHECK(len < sizeof text);
    while (got < len) {
        struct pollfd ready = { fd, POLLIN, 0 };
        ssize_t n;

        CHECK(poll(&ready, 1, 60000) == 1);
        n = read(fd, text + got, len - got);
        CHECK(n > 0);
        got += (size_t)n;
    }
    CHECK(strcmp(wanted, text) == 0);
}

static void hear_the_end(int fd)
{
    struct pollfd ready = { fd, POLLIN, 0 };
    char byte;

    CHECK(poll(&ready, 1, 60000) == 1);
    CHECK(read(fd, &byte, 1) == 0);
}

static void a_socket_speaks_resp(sentinel_client_t *client)
{
    sentinel_error_t *error = NULL;
    int fd = -1, other = -1;

    CHECK_OK(sentinel_client_socket(client, &fd, &error), &error);
    CHECK_OK(sentinel_client_socket(client, &other, NULL), &error);
    CHECK(fd >= 0 && other >= 0 && fd != other);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
    say(fd, "SET sockets:key value\r\n*2\r\n$3\r\nGET\r\n$11\r\nsockets:key\r\n");
    hear(fd, "+OK\r\n$5\r\nvalue\r\n");
    say(other, "MULTI\r\nINCR sockets:key\r\nEXEC\r\n");
    hear(other, "+OK\r\n+QUEUED\r\n*1\r\n-ERR value is not an integer or out of range\r\n");
    say(other, "QUIT\r\n");
    hear(other, "+OK\r\n");
    hear_the_end(other);
    CHECK(close(other) == 0);
    CHECK(close(fd) == 0);
}

static int listening(struct sockaddr_in *address)
{
    socklen_t len = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(fd, (struct sockaddr *)address, len) == 0 && listen(fd, 1) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)address, &len) == 0);
    return fd;
}

static void an_accepted_socket_is_served(sentinel_client_t *client)
{
    struct sockaddr_in address;
    sentinel_error_t *error = NULL;
    int listener = listening(&address), fd = socket(AF_INET, SOCK_STREAM, 0), accepted;

    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    accepted = accept(listener, NULL, NULL);
    CHECK(accepted >= 0);
    CHECK_OK(sentinel_client_serve(client, accepted, &error), &error);
    say(fd, "ECHO hello\r\nQUIT\r\n");
    hear(fd, "$5\r\nhello\r\n+OK\r\n");
    /* It is the library's to close. */
    hear_the_end(fd);
    CHECK(close(fd) == 0);
    CHECK(close(listener) == 0);
}

static void refused(sentinel_client_t *client, int fd, const char *message)
{
    sentinel_error_t *error = NULL;

    CHECK_STATUS(SENTINEL_ERR_INVALID_ARGUMENT, sentinel_client_serve(client, fd, &error));
    CHECK(strcmp(message, sentinel_error_message(error, NULL)) == 0);
    sentinel_error_free(error);
    CHECK(fcntl(fd, F_GETFD) < 0);
}

static void what_is_no_such_socket_is_taken_over_too(sentinel_client_t *client)
{
    struct sockaddr_in address;
    sentinel_error_t *error = NULL;
    int ends[2], pair[2], listener = listening(&address);

    CHECK(pipe(ends) == 0);
    refused(client, -1, "fd: -1 is no open descriptor");
    refused(client, 1 << 20, "fd: 1048576 is no open descriptor");
    refused(client, ends[0], "fd: is not a socket");
    refused(client, listener, "fd: listens: takes what accept() returned");
    CHECK(close(ends[1]) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    refused(client, pair[0], "fd: is not a stream socket of TCP or of the Unix family");
    CHECK(close(pair[1]) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK_STATUS(SENTINEL_ERR_NULL_ARGUMENT, sentinel_client_serve(NULL, pair[0], NULL));
    hear_the_end(pair[1]);
    CHECK(close(pair[1]) == 0);
    CHECK_STATUS(SENTINEL_ERR_NULL_ARGUMENT, sentinel_client_socket(client, NULL, &error));
    sentinel_error_free(error);
    CHECK_STATUS(SENTINEL_ERR_NULL_ARGUMENT, sentinel_client_socket(NULL, &ends[0], NULL));
}

int main(int argc, char **argv)
{
    sentinel_t *sentinel = live_open(argc, argv);
    sentinel_client_t *client = live_primary(sentinel, argv[1]);
    sentinel_client_t *closed = live_primary(sentinel, argv[1]);
    int fd = -1;

    a_socket_speaks_resp(client);
    an_accepted_socket_is_served(client);
    what_is_no_such_socket_is_taken_over_too(client);

    CHECK_STATUS(SENTINEL_OK, sentinel_client_close(closed));
    CHECK_STATUS(SENTINEL_ERR_CLOSED, sentinel_client_socket(closed, &fd, NULL));
    sentinel_client_free(closed);
    /* The stream ends with its client, and lives on behind the program's handle to the deployment. */
    CHECK_STATUS(SENTINEL_OK, sentinel_client_socket(client, &fd, NULL));
    sentinel_free(sentinel);
    say(fd, "PING\r\n");
    hear(fd, "+PONG\r\n");
    sentinel_client_free(client);
    hear_the_end(fd);
    CHECK(close(fd) == 0);
    return 0;
}
