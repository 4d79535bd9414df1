/* bench_raw WORKLOAD THREADS SECONDS: the floor: send and recv of ready-made bytes, nothing decoded. PORT: the
 * primary's. */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static const char GET[] = "*2\r\n$3\r\nGET\r\n$7\r\nbench:0\r\n";
/* "$64\r\n", the value, "\r\n" */
enum { ANSWER = 5 + BENCH_VALUE + 2 };

typedef struct state {
    int fd;
    size_t count;
    size_t request_len;
    char *request;
    char *answer;
} state;

static void open_state(state *state) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(getenv("PORT")))};
    int on = 1;
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    state->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(state->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        bench_fail("no connection");
    setsockopt(state->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    state->request_len = (sizeof(GET) - 1) * state->count;
    state->request = malloc(state->request_len);
    state->answer = malloc((size_t)ANSWER * state->count);
    for (size_t i = 0; i < state->count; i++)
        memcpy(state->request + i * (sizeof(GET) - 1), GET, sizeof(GET) - 1);
}

static size_t work(void *argument) {
    state *state = argument;
    if (state->request == NULL)
        open_state(state);
    if (send(state->fd, state->request, state->request_len, MSG_NOSIGNAL) != (ssize_t)state->request_len)
        bench_fail("send");
    for (size_t missing = (size_t)ANSWER * state->count; missing > 0;) {
        ssize_t n = recv(state->fd, state->answer, missing, 0);
        if (n <= 0)
            bench_fail("recv");
        missing -= (size_t)n;
    }
    return state->count;
}

int main(int argc, char **argv) {
    static state all[1024];
    static void *states[1024];
    if (argc != 4 || (strcmp(argv[1], "get") != 0 && strcmp(argv[1], "batch") != 0))
        return bench_usage(argv[0], "get|batch");
    if (getenv("PORT") == NULL)
        bench_fail("PORT is not set");
    for (size_t i = 0; i < 1024; i++) {
        all[i].count = strcmp(argv[1], "batch") == 0 ? BENCH_BATCH : 1;
        states[i] = &all[i];
    }
    return bench_run((size_t)atoi(argv[2]), atof(argv[3]), work, states);
}
