/*
 * needs: topology. Called with SERVICE HOST:PORT... A process with 24 threads in calls, polls and subscriptions forks
 * FORKS children (60 unless the environment says otherwise), eight at a time. What they have inherited says FORKED and
 * may be freed; what they open themselves works. A child that has not ended after FORK_SECONDS (20) is lost.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "live.h"

#define EACH 8
#define AT_ONCE 8
#define SHARED_QUEUES 2

static sentinel_t *sentinel;
static sentinel_client_t *client;
static sentinel_queue_t *shared[SHARED_QUEUES];
static sentinel_queue_t *heard[EACH];
static sentinel_subscription_t *subscriptions[EACH];
/* Each holds a connection of the pool. */
static sentinel_scan_t *scan;
static sentinel_connection_t *connection;
static atomic_bool over;
/* Rounds of each kind of thread since the start: that they were all at work. */
static atomic_ulong rounds[3];

static void free_entries(sentinel_completion_t *entries, size_t count)
{
    while (count-- > 0) {
        sentinel_reply_free(entries[count].reply);
        sentinel_error_free(entries[count].error);
    }
}

/* Waits for one entry, and takes up to eight. */
static size_t take(sentinel_queue_t *queue, int64_t timeout_ms)
{
    sentinel_completion_t entries[8];
    size_t count = 0;
    sentinel_status_t status = sentinel_queue_poll(queue, entries, sizeof entries[0], 8, timeout_ms, &count);

    CHECK(status == SENTINEL_OK || status == SENTINEL_EMPTY);
    free_entries(entries, count);
    return count;
}

static sentinel_status_t submit(sentinel_client_t *to, sentinel_queue_t *queue, uint64_t tag)
{
    static const size_t lens[] = { 4, 11 };

    return sentinel_submit_queued(to, 2, lens, "INCRforks:count", 15, NULL, queue, tag, NULL, NULL);
}

static void *call(void *number)
{
    char key[32];

    snprintf(key, sizeof key, "forks:%d", *(const int *)number);
    while (!atomic_load(&over)) {
        DO(client, "SET", key, "value");
        DO(client, "GET", key);
        atomic_fetch_add(&rounds[0], 1);
    }
    return NULL;
}

/* Four threads on each queue: they meet at its lock, and wait for it. */
static void *submit_and_poll(void *number)
{
    sentinel_queue_t *queue = shared[*(const int *)number % SHARED_QUEUES];
    int i;

    while (!atomic_load(&over)) {
        CHECK_STATUS(SENTINEL_OK, submit(client, queue, 1));
        for (i = 0; i < 20; i++) {
            take(queue, 1);
        }
        atomic_fetch_add(&rounds[1], 1);
    }
    return NULL;
}

static void *publish_and_hear(void *number)
{
    char channel[32];
    int i;

    snprintf(channel, sizeof channel, "forks:%d", *(const int *)number);
    while (!atomic_load(&over)) {
        DO(client, "PUBLISH", channel, "message");
        for (i = 0; i < 20; i++) {
            take(heard[*(const int *)number], 1);
        }
        atomic_fetch_add(&rounds[2], 1);
    }
    return NULL;
}

static void free_all(void)
{
    int i;

    sentinel_scan_free(scan);
    sentinel_connection_release(connection);
    for (i = 0; i < EACH; i++) {
        sentinel_subscription_free(subscriptions[i]);
        sentinel_queue_free(heard[i]);
    }
    for (i = 0; i < SHARED_QUEUES; i++) {
        sentinel_queue_free(shared[i]);
    }
    sentinel_client_free(client);
    sentinel_free(sentinel);
}

/* Whatever the child does with what it has inherited, it is told so, and nothing happens. */
static void use_inherited(void)
{
    sentinel_completion_t entry;
    sentinel_reply_t *reply = NULL;
    size_t count = 0;
    char text[16];
    int pair[2];

    CHECK_STATUS(SENTINEL_ERR_FORKED,
                 sentinel_command(client, SENTINEL_ARGS("GET", "forks:0"), NULL, NULL, &reply, NULL));
    CHECK_STATUS(SENTINEL_ERR_FORKED, submit(client, shared[0], 1));
    CHECK_STATUS(SENTINEL_ERR_FORKED, sentinel_queue_poll(shared[0], &entry, sizeof entry, 1, -1, &count));
    CHECK_STATUS(SENTINEL_ERR_FORKED, sentinel_queue_wake(shared[1]));
    CHECK_EQUAL(-1, sentinel_queue_fd(shared[0]));
    CHECK_STATUS(SENTINEL_ERR_FORKED,
                 sentinel_subscription_add(subscriptions[0], SENTINEL_SUBSCRIBE_CHANNEL, "x", 1, NULL));
    CHECK_STATUS(SENTINEL_ERR_FORKED, sentinel_watch_events(sentinel, 1, shared[0], 1, NULL));
    CHECK_STATUS(SENTINEL_ERR_FORKED, sentinel_describe(sentinel, text, sizeof text, &count));
    CHECK_STATUS(SENTINEL_ERR_FORKED, sentinel_close(sentinel, 1000));
    CHECK_STATUS(SENTINEL_ERR_FORKED, sentinel_client_socket(client, &pair[0], NULL));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK_STATUS(SENTINEL_ERR_FORKED, sentinel_client_serve(client, pair[0], NULL));
    CHECK(close(pair[0]) < 0 && close(pair[1]) == 0);
    sentinel_scan_restart(scan);
    CHECK_STATUS(SENTINEL_ERR_FORKED, sentinel_scan_next(scan, NULL, &reply, NULL));
    CHECK_STATUS(SENTINEL_ERR_FORKED,
                 sentinel_connection_command(connection, SENTINEL_ARGS("PING"), NULL, NULL, &reply, NULL));
    free_all();
}

/* Until so many entries have come: completions, messages, an event. */
static void take_all(sentinel_queue_t *queue, size_t due)
{
    while (due > 0) {
        size_t count = take(queue, 60000);

        CHECK(count > 0 && count <= due);
        due -= count;
    }
}

static void use_own(int argc, char **argv)
{
    sentinel_t *own = live_open(argc, argv);
    sentinel_client_t *primary = live_primary(own, argv[1]);
    sentinel_queue_t *queue = NULL;
    sentinel_subscription_t *subscription = NULL;
    sentinel_reply_t *reply;
    char channel[32];
    int i;

    snprintf(channel, sizeof channel, "forks:child:%ld", (long)getpid());
    reply = RUN(primary, "ECHO", channel);
    CHECK_TEXT(channel, reply);
    sentinel_reply_free(reply);
    CHECK_STATUS(SENTINEL_OK, sentinel_queue_new(own, 100, &queue, NULL));
    for (i = 0; i < 20; i++) {
        CHECK_STATUS(SENTINEL_OK, submit(primary, queue, 1));
    }
    take_all(queue, 20);
    CHECK_STATUS(SENTINEL_OK, sentinel_subscription_new(primary, queue, 2, &subscription, NULL));
    CHECK_STATUS(SENTINEL_OK,
                 sentinel_subscription_add(subscription, SENTINEL_SUBSCRIBE_CHANNEL | SENTINEL_SUBSCRIBE_CONFIRM,
                                           channel, strlen(channel), NULL));
    take_all(queue, 1);
    DO(primary, "PUBLISH", channel, "message");
    take_all(queue, 1);
    sentinel_subscription_free(subscription);
    CHECK_STATUS(SENTINEL_OK, sentinel_close(own, 10000));
    sentinel_queue_free(queue);
    sentinel_client_free(primary);
    sentinel_free(own);
}

struct child {
    pid_t pid;
    time_t started;
};

static int lost;

static time_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

/* Whether the place of a child is free again. */
static int has_ended(struct child *child, time_t limit)
{
    int status = 0;

    if (child->pid == 0) {
        return 1;
    }
    if (waitpid(child->pid, &status, WNOHANG) == 0) {
        if (now() - child->started <= limit) {
            return 0;
        }
        kill(child->pid, SIGKILL);
        waitpid(child->pid, &status, 0);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "child %ld is lost after %ld s: status %#x\n", (long)child->pid,
                (long)(now() - child->started), (unsigned)status);
        lost++;
    }
    child->pid = 0;
    return 1;
}

/* Starts a child in the first free place, or only waits until all have ended. */
static void next(struct child *children, time_t limit, int fork_one, int argc, char **argv)
{
    const struct timespec pause = { 0, 1000000 };

    for (;;) {
        int i, busy = 0;

        for (i = 0; i < AT_ONCE; i++) {
            if (!has_ended(&children[i], limit)) {
                busy++;
                continue;
            }
            if (fork_one) {
                children[i].started = now();
                children[i].pid = fork();
                CHECK(children[i].pid >= 0);
                if (children[i].pid == 0) {
                    use_inherited();
                    use_own(argc, argv);
                    _exit(0);
                }
                return;
            }
        }
        if (busy == 0) {
            return;
        }
        nanosleep(&pause, NULL);
    }
}

static long number_of(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : atol(text);
}

static void start(pthread_t *threads, int *numbers, char **argv)
{
    static void *(*const bodies[3])(void *) = { call, submit_and_poll, publish_and_hear };
    sentinel_reply_t *page = NULL;
    int i;

    client = live_primary(sentinel, argv[1]);
    for (i = 0; i < 100; i++) {
        char key[32];

        snprintf(key, sizeof key, "forks:key:%d", i);
        DO(client, "SET", key, "x");
    }
    CHECK_STATUS(SENTINEL_OK, sentinel_scan_new(client, SENTINEL_ARGS("SCAN", "COUNT", "1"), NULL, &scan, NULL));
    CHECK_STATUS(SENTINEL_OK, sentinel_scan_next(scan, NULL, &page, NULL));
    sentinel_reply_free(page);
    CHECK_STATUS(SENTINEL_OK, sentinel_client_acquire(client, 10000, &connection, NULL));
    for (i = 0; i < SHARED_QUEUES; i++) {
        CHECK_STATUS(SENTINEL_OK, sentinel_queue_new(sentinel, 10000, &shared[i], NULL));
    }
    for (i = 0; i < EACH; i++) {
        char channel[32];

        snprintf(channel, sizeof channel, "forks:%d", i);
        CHECK_STATUS(SENTINEL_OK, sentinel_queue_new(sentinel, 10000, &heard[i], NULL));
        CHECK_STATUS(SENTINEL_OK, sentinel_subscription_new(client, heard[i], 1, &subscriptions[i], NULL));
        CHECK_STATUS(SENTINEL_OK, sentinel_subscription_add(subscriptions[i], SENTINEL_SUBSCRIBE_CHANNEL, channel,
                                                            strlen(channel), NULL));
    }
    for (i = 0; i < 3 * EACH; i++) {
        numbers[i] = i / 3;
        CHECK(pthread_create(&threads[i], NULL, bodies[i % 3], &numbers[i]) == 0);
    }
}

int main(int argc, char **argv)
{
    struct child children[AT_ONCE] = { { 0, 0 } };
    pthread_t threads[3 * EACH];
    int numbers[3 * EACH], i;
    const long forks = number_of("FORKS", 60), limit = number_of("FORK_SECONDS", 20);
    long fork_number;

    sentinel = live_open(argc, argv);
    start(threads, numbers, argv);
    for (fork_number = 0; fork_number < forks; fork_number++) {
        next(children, limit, 1, argc, argv);
    }
    next(children, limit, 0, argc, argv);
    atomic_store(&over, 1);
    for (i = 0; i < 3 * EACH; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("%ld children, %d lost; meanwhile %lu rounds of calls, %lu of submissions, %lu of messages\n", forks, lost,
           atomic_load(&rounds[0]), atomic_load(&rounds[1]), atomic_load(&rounds[2]));
    for (i = 0; i < 3; i++) {
        CHECK(atomic_load(&rounds[i]) > 0);
    }
    free_all();
    return lost > 0;
}
