/*
 * async_epoll SERVICE HOST:PORT...: 10,000 commands from one thread that never waits for any one of them.
 *
 * The queue's descriptor stands among whatever else an event loop watches (here: a timer that prints the progress). It is
 * readable while completions wait; each of them carries the tag that its command was submitted with.
 */
#include <inttypes.h>
#include <sentinel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define CALLS 10000
#define WINDOW 1000 /* under way at once, and so the queue's capacity */

static void fail(const char *what, sentinel_error_t *error)
{
    fprintf(stderr, "%s: %s\n", what, error != NULL ? sentinel_error_message(error, NULL) : "failed");
    exit(1);
}

static sentinel_t *open_deployment(int argc, char **argv)
{
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_error_t *error = NULL;
    int i;

    for (i = 2; i < argc; i++) {
        char host[256] = "";
        const char *colon = strrchr(argv[i], ':');

        if (colon == NULL || (size_t)(colon - argv[i]) >= sizeof host) {
            fail(argv[i], NULL);
        }
        memcpy(host, argv[i], (size_t)(colon - argv[i]));
        if (sentinel_options_add_sentinel(options, host, (uint16_t)atoi(colon + 1), &error) != SENTINEL_OK) {
            fail(argv[i], error);
        }
    }
    if (sentinel_open(options, &sentinel, &error) != SENTINEL_OK) {
        fail("open", error);
    }
    sentinel_options_free(options);
    return sentinel;
}

static void submit(sentinel_client_t *client, sentinel_queue_t *queue, uint64_t number)
{
    char data[64];
    sentinel_error_t *error = NULL;
    int key = snprintf(data + 4, sizeof data - 4, "async:%" PRIu64, number % 100);
    size_t lens[2] = {4, (size_t)key};

    memcpy(data, "INCR", 4);
    if (sentinel_submit_queued(client, 2, lens, data, lens[0] + lens[1], NULL, queue, number, NULL, &error) !=
        SENTINEL_OK) {
        fail("submit", error);
    }
}

/* Takes what has completed; returns how many. */
static size_t take(sentinel_queue_t *queue, size_t *failed)
{
    sentinel_completion_t done[256];
    size_t count = 0, i;
    sentinel_status_t status = sentinel_queue_poll(queue, done, sizeof done[0], 256, 0, &count);

    if (status != SENTINEL_OK && status != SENTINEL_EMPTY) {
        fail(sentinel_status_name(status), NULL);
    }
    for (i = 0; i < count; i++) {
        if (done[i].status != SENTINEL_OK) {
            fprintf(stderr, "call %" PRIu64 ": %s\n", done[i].tag, sentinel_error_message(done[i].error, NULL));
            ++*failed;
        }
        sentinel_reply_free(done[i].reply); /* each takes NULL */
        sentinel_error_free(done[i].error);
    }
    return count;
}

static void watch(int loop, int fd)
{
    struct epoll_event event;

    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) != 0) {
        fail("epoll_ctl", NULL);
    }
}

int main(int argc, char **argv)
{
    const struct itimerspec every = {{0, 100000000}, {0, 100000000}};
    sentinel_t *sentinel;
    sentinel_client_t *client = NULL;
    sentinel_queue_t *queue = NULL;
    sentinel_error_t *error = NULL;
    size_t submitted = 0, completed = 0, failed = 0;
    int loop = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

    if (argc < 3) {
        fprintf(stderr, "usage: %s SERVICE HOST:PORT...\n", argv[0]);
        return 2;
    }
    sentinel = open_deployment(argc, argv);
    if (sentinel_primary_for(sentinel, argv[1], NULL, &client, &error) != SENTINEL_OK ||
        sentinel_queue_new(sentinel, WINDOW, &queue, &error) != SENTINEL_OK) {
        fail(argv[1], error);
    }
    timerfd_settime(timer, 0, &every, NULL);
    watch(loop, timer);
    watch(loop, sentinel_queue_fd(queue));
    while (completed < CALLS) {
        struct epoll_event ready[2];
        int events, i;

        while (submitted < CALLS && submitted - completed < WINDOW) {
            submit(client, queue, submitted++);
        }
        events = epoll_wait(loop, ready, 2, -1);
        for (i = 0; i < events; i++) {
            uint64_t ticks;

            if (ready[i].data.fd != timer) {
                completed += take(queue, &failed);
            } else if (read(timer, &ticks, sizeof ticks) == sizeof ticks) {
                printf("%zu of %d\n", completed, CALLS);
            }
        }
    }
    printf("%zu commands, %zu failed, one thread\n", completed, failed);
    sentinel_queue_free(queue); /* the order does not matter */
    sentinel_client_free(client);
    sentinel_free(sentinel);
    close(timer);
    close(loop);
    return failed != 0;
}
