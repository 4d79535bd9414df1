/*
 * Write twenty times a second, whatever happens to the primary, and say once a second how it goes.
 *
 *     failover SERVICE HOST:PORT [HOST:PORT...]
 *
 * Each HOST:PORT is a Sentinel. Ends on SIGINT or SIGTERM, or after FAILOVER_SECONDS seconds, with a summary.
 * With FAILOVER_LOG=FILE, writes the number of each acknowledged write to FILE, one a line, so that a script can
 * look afterwards for what the servers lost.
 */
#define _POSIX_C_SOURCE 200809L
#include <sentinel.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { INTERVAL_MS = 50, CONNECT_MS = 10000 };

/* The second that is under way, shared by the writer and the printer. */
struct second {
    pthread_mutex_t lock;
    const sentinel_client_t *client;
    unsigned long ok, failed;
    int64_t worst_ms, begun_ms; /* begun_ms: the write under way, 0 for none */
};

static volatile sig_atomic_t stop;

static void on_signal(int signal_number) {
    (void)signal_number;
    stop = 1;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_until(int64_t ms) {
    const struct timespec until = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL); /* a signal ends it early */
}

static int fail(const char *what, sentinel_error_t *error) {
    fprintf(stderr, "%s: %s: %s\n", what, sentinel_status_name(sentinel_error_status(error)),
            sentinel_error_message(error, NULL));
    sentinel_error_free(error);
    return 1;
}

static sentinel_status_t add_sentinel(sentinel_options_t *options, const char *endpoint, sentinel_error_t **error) {
    char host[256];
    const char *colon = strrchr(endpoint, ':');
    int len = colon != NULL ? (int)(colon - endpoint) : (int)strlen(endpoint);
    long port = colon != NULL ? strtol(colon + 1, NULL, 10) : 26379;
    snprintf(host, sizeof host, "%.*s", len, endpoint);
    return sentinel_options_add_sentinel(options, host, port > 0 && port <= 65535 ? (uint16_t)port : 0, error);
}

/* SET failover:<n> <n>. Returns 1 when the primary has acknowledged it. */
static int write_one(sentinel_client_t *client, unsigned long n) {
    static const char *const outcomes[] = {"NOT_SENT", "REFUSED", "UNKNOWN"};
    sentinel_error_t *error = NULL;
    sentinel_reply_t *reply = NULL;
    char key[48], value[32];
    snprintf(key, sizeof key, "failover:%lu", n);
    snprintf(value, sizeof value, "%lu", n);
    /* No call options: the write may take the default timeout_ms, 5 s. In a failover it waits for the new primary. */
    if (sentinel_command(client, SENTINEL_ARGS("SET", key, value), NULL, NULL, &reply, &error) == SENTINEL_OK) {
        sentinel_reply_free(reply);
        return 1;
    }
    /* NOT_SENT and REFUSED are certain: it was not executed. After UNKNOWN it may have been, so a program that
     * must know reads the key back; this one counts it as failed. */
    int32_t outcome = sentinel_error_outcome(error);
    printf("  failed: %s %s outcome=%s\n", key, sentinel_status_name(sentinel_error_status(error)),
           outcome >= 0 && outcome <= 2 ? outcomes[outcome] : "?");
    sentinel_error_free(error);
    return 0;
}

/* The line of a second: local time, the node that serves us now and the epoch it was elected with, counts. */
static void print_line(struct second *second) {
    sentinel_nodes_t *nodes = NULL;
    char clock[16] = "", node[300] = "-";
    const char *epoch = NULL;
    struct tm local;
    time_t now = time(NULL);
    if (localtime_r(&now, &local) != NULL)
        strftime(clock, sizeof clock, "%H:%M:%S", &local);
    if (sentinel_client_node(second->client, &nodes) == SENTINEL_OK && sentinel_nodes_len(nodes) == 1) {
        snprintf(node, sizeof node, "%s:%u", sentinel_nodes_host(nodes, 0), (unsigned)sentinel_nodes_port(nodes, 0));
        epoch = sentinel_nodes_field(nodes, 0, "config-epoch");
    }
    pthread_mutex_lock(&second->lock);
    int64_t waiting_ms = second->begun_ms != 0 ? now_ms() - second->begun_ms : 0;
    second->worst_ms = waiting_ms > second->worst_ms ? waiting_ms : second->worst_ms;
    printf("%s node=%s epoch=%s ok=%lu failed=%lu worst_ms=%lld\n", clock, node, epoch != NULL ? epoch : "-",
           second->ok, second->failed, (long long)second->worst_ms);
    second->ok = second->failed = 0;
    second->worst_ms = 0;
    pthread_mutex_unlock(&second->lock);
    sentinel_nodes_free(nodes);
}

/* A thread of its own: it prints also while a write waits for the new primary. */
static void *print_lines(void *argument) {
    for (int64_t line = now_ms() + 1000; !stop; line += 1000) {
        sleep_until(line);
        if (!stop)
            print_line(argument);
    }
    return NULL;
}

static void write_until_stopped(sentinel_client_t *client, int64_t seconds, FILE *log) {
    unsigned long acknowledged = 0, failed = 0;
    struct second second = {PTHREAD_MUTEX_INITIALIZER, client, 0, 0, 0, 0};
    pthread_t printer;
    int printing = pthread_create(&printer, NULL, print_lines, &second) == 0;
    int64_t start = now_ms(), end = start, last_ok = start, outage = 0, next = start;
    for (unsigned long n = 1; !stop && (seconds <= 0 || end < start + seconds * 1000); n++) {
        int64_t begin = now_ms();
        pthread_mutex_lock(&second.lock);
        second.begun_ms = begin;
        pthread_mutex_unlock(&second.lock);
        int ok = write_one(client, n);
        end = now_ms();
        outage = end - last_ok > outage ? end - last_ok : outage; /* counts on while nothing succeeds */
        if (ok) {
            acknowledged++;
            last_ok = end;
            if (log != NULL)
                fprintf(log, "%lu\n", n);
        } else {
            failed++;
        }
        pthread_mutex_lock(&second.lock);
        ok ? second.ok++ : second.failed++;
        second.worst_ms = end - begin > second.worst_ms ? end - begin : second.worst_ms;
        second.begun_ms = 0;
        pthread_mutex_unlock(&second.lock);
        next = next + INTERVAL_MS > end ? next + INTERVAL_MS : end; /* a slow call is not followed by a burst */
        sleep_until(next);
    }
    stop = 1;
    if (printing)
        pthread_join(printer, NULL);
    printf("summary acknowledged=%lu failed=%lu outage_ms=%lld\n", acknowledged, failed, (long long)outage);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s SERVICE HOST:PORT [HOST:PORT...]\n", argv[0]);
        return 1;
    }
    const char *seconds = getenv("FAILOVER_SECONDS"), *path = getenv("FAILOVER_LOG"), *step = "options";
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_client_t *client = NULL;
    sentinel_error_t *error = NULL;
    FILE *log = NULL;
    int result = 1;
    struct sigaction action = {.sa_handler = on_signal};
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (path != NULL && *path != '\0' && (log = fopen(path, "w")) == NULL) {
        perror(path);
        goto done;
    }
    for (int i = 2; i < argc; i++)
        if (add_sentinel(options, argv[i], &error) != SENTINEL_OK)
            goto done;
    step = "open";
    if (sentinel_open(options, &sentinel, &error) != SENTINEL_OK ||
        sentinel_primary_for(sentinel, argv[1], NULL, &client, &error) != SENTINEL_OK)
        goto done;
    /* Not needed, the first command connects as well: but a wrong service name is better said at the start. */
    step = "connect";
    if (sentinel_client_connect(client, CONNECT_MS, &error) != SENTINEL_OK)
        goto done;
    write_until_stopped(client, seconds != NULL ? strtoll(seconds, NULL, 10) : 0, log);
    result = 0;

done:
    if (error != NULL)
        result = fail(step, error);
    if (log != NULL && fclose(log) != 0) {
        perror(path);
        result = 1;
    }
    sentinel_client_free(client);
    sentinel_free(sentinel);
    sentinel_options_free(options);
    return result;
}
