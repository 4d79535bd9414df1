/*
 * bench_foresee.c: a writer and four counters through one failover, and what is left of it.
 *
 *     bench_foresee SERVICE HOST:PORT[,HOST:PORT...] HOST:PORT[,HOST:PORT...] FORESEE SECONDS
 *
 * Sentinels, then data nodes. One thread sets a new key 200 times a second, four threads increment a counter each 100 times
 * a second, one thread asks each data node for its ROLE each millisecond. Prints `begun` once all of them run, and at the end
 * one line: the longest time without an acknowledged SET, acknowledged SETs and how many of them are missing on the primary,
 * calls that ended UNKNOWN, calls that failed otherwise, increments that the counters have beyond those acknowledged and
 * unknown, and the time from the first word of a replica that it is the primary to the first SET acknowledged after it (-1:
 * none said so). Milliseconds with a tenth.
 */
#define _POSIX_C_SOURCE 200809L
#include <sentinel.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { COUNTERS = 4, SETS = 100000, NODES = 16 };

static sentinel_client_t *client;
static int64_t begun, lasts;
static atomic_bool ended;
static atomic_uint unknown, others;
static unsigned acknowledged[COUNTERS], unknown_of[COUNTERS];
static int64_t done_at[SETS];
static int sets;
static _Atomic int64_t promoted_at;

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void wait_until(int64_t at) {
    const struct timespec until = {(time_t)(at / 1000000), (long)(at % 1000000) * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* Whether it was acknowledged; counts how it failed otherwise. */
static int command(const char *name, const char *key, const char *value, int *was_unknown) {
    sentinel_call_t call = SENTINEL_CALL_INIT;
    call.timeout_ms = 20000;
    sentinel_error_t *error = NULL;
    sentinel_status_t status =
        value == NULL ? sentinel_command(client, SENTINEL_ARGS(name, key), NULL, &call, NULL, &error)
                      : sentinel_command(client, SENTINEL_ARGS(name, key, value), NULL, &call, NULL, &error);
    *was_unknown = status != SENTINEL_OK && sentinel_error_outcome(error) == SENTINEL_OUTCOME_UNKNOWN;
    if (*was_unknown)
        atomic_fetch_add(&unknown, 1);
    else if (status != SENTINEL_OK && atomic_fetch_add(&others, 1) == 0)
        fprintf(stderr, "%s\n", sentinel_error_message(error, NULL));
    sentinel_error_free(error);
    return status == SENTINEL_OK;
}

static void *set(void *nothing) {
    (void)nothing;
    for (int64_t next = begun; next < begun + lasts && sets < SETS; next += 5000) {
        char key[32];
        int was_unknown;
        wait_until(next);
        snprintf(key, sizeof key, "foresee:%d", sets);
        done_at[sets] = command("SET", key, "x", &was_unknown) ? now_us() : 0;
        sets++;
        if (now_us() > next + 5000)
            next = now_us();
    }
    return NULL;
}

static void *count(void *argument) {
    int number = *(int *)argument;
    char key[32];
    snprintf(key, sizeof key, "foresee:count:%d", number);
    for (int64_t next = begun; next < begun + lasts; next += 10000) {
        int was_unknown;
        wait_until(next);
        acknowledged[number] += (unsigned)command("INCR", key, NULL, &was_unknown);
        unknown_of[number] += (unsigned)was_unknown;
        if (now_us() > next + 10000)
            next = now_us();
    }
    return NULL;
}

/* One question on a connection that is made anew where it was lost; -1: no answer, 1: it is the primary. */
static int role(int *fd, const struct sockaddr_in *at) {
    char text[256];
    const struct timeval soon = {0, 50000};
    if (*fd < 0) {
        *fd = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
        if (connect(*fd, (const struct sockaddr *)at, sizeof *at) != 0) {
            close(*fd);
            *fd = -1;
            return -1;
        }
    }
    ssize_t got = send(*fd, "ROLE\r\n", 6, MSG_NOSIGNAL) == 6 ? recv(*fd, text, sizeof text - 1, 0) : -1;
    if (got <= 0) {
        close(*fd);
        *fd = -1;
        return -1;
    }
    text[got] = 0;
    return strstr(text, "\r\nmaster\r\n") != NULL;
}

static void *watch(void *argument) {
    struct sockaddr_in nodes[NODES];
    int fds[NODES], was[NODES], many = 0;
    char *rest = argument;
    for (char *node; many < NODES && (node = strtok_r(rest, ",", &rest)) != NULL; many++) {
        char *port = strrchr(node, ':');
        *port++ = 0;
        memset(&nodes[many], 0, sizeof nodes[many]);
        nodes[many].sin_family = AF_INET;
        nodes[many].sin_port = htons((uint16_t)strtol(port, NULL, 10));
        inet_pton(AF_INET, node, &nodes[many].sin_addr);
        fds[many] = -1;
        was[many] = -1;
    }
    while (!atomic_load(&ended)) {
        for (int i = 0; i < many; i++) {
            /* The one that is the primary at first is not asked: it may be frozen. */
            if (was[i] == 1)
                continue;
            int is = role(&fds[i], &nodes[i]);
            if (is == 1 && was[i] == 0 && atomic_load(&promoted_at) == 0)
                atomic_store(&promoted_at, now_us());
            if (is >= 0)
                was[i] = is;
        }
        wait_until(now_us() + 1000);
    }
    return NULL;
}

/* Those that were acknowledged and are not there. */
static int missing(void) {
    int gone = 0;
    for (int i = 0; i < sets; i++) {
        char key[32];
        sentinel_reply_t *reply = NULL;
        snprintf(key, sizeof key, "foresee:%d", i);
        if (done_at[i] != 0 && sentinel_command(client, SENTINEL_ARGS("GET", key), NULL, NULL, &reply, NULL) == SENTINEL_OK)
            gone += sentinel_reply_type(reply) == SENTINEL_REPLY_NIL;
        sentinel_reply_free(reply);
    }
    return gone;
}

static int64_t beyond(void) {
    int64_t twice = 0;
    for (int i = 0; i < COUNTERS; i++) {
        char key[32];
        sentinel_reply_t *reply = NULL;
        snprintf(key, sizeof key, "foresee:count:%d", i);
        if (sentinel_command(client, SENTINEL_ARGS("GET", key), NULL, NULL, &reply, NULL) == SENTINEL_OK) {
            const char *digits = sentinel_reply_data(reply, NULL);
            int64_t there = digits == NULL ? 0 : strtoll(digits, NULL, 10);
            int64_t most = (int64_t)acknowledged[i] + unknown_of[i];
            twice += there > most ? there - most : 0;
        }
        sentinel_reply_free(reply);
    }
    return twice;
}

int main(int argc, char **argv) {
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_error_t *error = NULL;
    char url[512];
    pthread_t counters[COUNTERS], setter, watcher;
    int numbers[COUNTERS];
    if (argc != 6)
        return 2;
    lasts = strtol(argv[5], NULL, 10) * 1000000;
    snprintf(url, sizeof url, "redis+sentinel://%s/%s", argv[2], argv[1]);
    if (sentinel_options_parse_url(options, url, &error) != SENTINEL_OK ||
        sentinel_options_set(options, "failover.foresee", argv[4], &error) != SENTINEL_OK ||
        sentinel_open(options, &sentinel, &error) != SENTINEL_OK ||
        sentinel_primary_for(sentinel, NULL, NULL, &client, &error) != SENTINEL_OK ||
        sentinel_client_connect(client, 0, &error) != SENTINEL_OK) {
        fprintf(stderr, "%s\n", sentinel_error_message(error, NULL));
        return 1;
    }
    begun = now_us();
    puts("begun");
    fflush(stdout);
    pthread_create(&watcher, NULL, watch, argv[3]);
    pthread_create(&setter, NULL, set, NULL);
    for (int i = 0; i < COUNTERS; i++) {
        numbers[i] = i;
        pthread_create(&counters[i], NULL, count, &numbers[i]);
    }
    pthread_join(setter, NULL);
    for (int i = 0; i < COUNTERS; i++)
        pthread_join(counters[i], NULL);
    atomic_store(&ended, true);
    pthread_join(watcher, NULL);

    int64_t pause = 0, before = begun, promoted = atomic_load(&promoted_at), first = 0;
    int good = 0;
    for (int i = 0; i < sets; i++) {
        if (done_at[i] == 0)
            continue;
        good++;
        if (done_at[i] - before > pause)
            pause = done_at[i] - before;
        if (promoted != 0 && first == 0 && done_at[i] > promoted)
            first = done_at[i];
        before = done_at[i];
    }
    printf("pause %.1f acknowledged %d missing %d unknown %u others %u twice %lld promoted %.1f\n", (double)pause / 1000, good,
           missing(), atomic_load(&unknown), atomic_load(&others), (long long)beyond(),
           first == 0 ? -1.0 : (double)(first - promoted) / 1000);
    sentinel_client_free(client);
    sentinel_free(sentinel);
    sentinel_options_free(options);
    return atomic_load(&others) != 0;
}
