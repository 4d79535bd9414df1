/*
 * watch SERVICE HOST:PORT...: a live screen of a deployment, to be left open during a failover drill.
 *
 * Who is primary under which epoch, how far behind each replica is, which Sentinels answer; below, the last events as they
 * come. Ctrl-C ends it, or WATCH_SECONDS in the environment.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <sentinel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 12
#define LINE 200

static char events[EVENTS][LINE];
static size_t event_count;

static void fail(const char *what, sentinel_error_t *error) {
    fprintf(stderr, "%s: %s\n", what, error != NULL ? sentinel_error_message(error, NULL) : "failed");
    exit(1);
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static sentinel_t *open_deployment(int argc, char **argv) {
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_error_t *error = NULL;
    char url[1024] = "redis+sentinel://";
    for (int i = 2; i < argc; i++) {
        strncat(url, i > 2 ? "," : "", sizeof url - strlen(url) - 1);
        strncat(url, argv[i], sizeof url - strlen(url) - 1);
    }
    if (sentinel_options_parse_url(options, url, &error) != SENTINEL_OK ||
        sentinel_open(options, &sentinel, &error) != SENTINEL_OK)
        fail(url, error);
    sentinel_options_free(options);
    return sentinel;
}

/* Appends a value of an event: text, a number, or a list of them. */
static void append(char *line, const sentinel_reply_t *value) {
    size_t used = strlen(line);
    const char *text = sentinel_reply_data(value, NULL);
    if (text != NULL) {
        snprintf(line + used, LINE - used, "%s", text);
    } else if (sentinel_reply_type(value) == SENTINEL_REPLY_ARRAY) {
        for (size_t i = 0; i < sentinel_reply_len(value); i++) {
            append(line, sentinel_reply_at(value, i));
            strncat(line, i + 1 < sentinel_reply_len(value) ? "," : "", LINE - strlen(line) - 1);
        }
    } else if (sentinel_reply_type(value) != SENTINEL_REPLY_NIL) {
        snprintf(line + used, LINE - used, "%" PRId64, sentinel_reply_integer(value));
    }
}

/* An event is a map: its name first, then what belongs to it. */
static void note(const sentinel_reply_t *event) {
    char *line = events[event_count++ % EVENTS];
    time_t clock = time(NULL);
    strftime(line, LINE, "%H:%M:%S", localtime(&clock));
    for (size_t i = 0; i < sentinel_reply_len(event); i++) {
        size_t used = strlen(line);
        snprintf(line + used, LINE - used, i == 0 ? "  " : "  %s=",
                 sentinel_reply_data(sentinel_reply_key_at(event, i), NULL));
        append(line, sentinel_reply_value_at(event, i));
    }
}

static const char *field(const sentinel_nodes_t *nodes, size_t i, const char *name) {
    const char *value = sentinel_nodes_field(nodes, i, name);
    return value != NULL ? value : "-";
}

static int64_t offset_of(const sentinel_nodes_t *nodes, size_t i) {
    const char *offset = sentinel_nodes_field(nodes, i, "slave-repl-offset");
    return offset != NULL ? strtoll(offset, NULL, 10) : 0;
}

static void show_primary(sentinel_t *sentinel, const char *service) {
    sentinel_nodes_t *nodes = NULL;
    sentinel_error_t *error = NULL;
    if (sentinel_discover_primary(sentinel, service, 500, &nodes, &error) != SENTINEL_OK) {
        printf("primary   none: %s\n", sentinel_error_message(error, NULL));
        sentinel_error_free(error);
        return;
    }
    printf("primary   %s:%u  epoch %s  %s\n", sentinel_nodes_host(nodes, 0), (unsigned)sentinel_nodes_port(nodes, 0),
           field(nodes, 0, "config-epoch"), field(nodes, 0, "flags"));
    sentinel_nodes_free(nodes);
}

static void show_replicas(sentinel_t *sentinel, const char *service) {
    sentinel_nodes_t *nodes = NULL;
    int64_t freshest = 0;
    if (sentinel_discover_replicas(sentinel, service, 500, &nodes, NULL) != SENTINEL_OK)
        return;
    for (size_t i = 0; i < sentinel_nodes_len(nodes); i++)
        freshest = offset_of(nodes, i) > freshest ? offset_of(nodes, i) : freshest;
    for (size_t i = 0; i < sentinel_nodes_len(nodes); i++)
        printf("replica   %s:%u  link %s  %" PRId64 " bytes behind the freshest  %s\n", sentinel_nodes_host(nodes, i),
               (unsigned)sentinel_nodes_port(nodes, i), field(nodes, i, "master-link-status"),
               freshest - offset_of(nodes, i), field(nodes, i, "flags"));
    sentinel_nodes_free(nodes);
}

static void show_sentinels(sentinel_t *sentinel, const char *service) {
    sentinel_nodes_t *nodes = NULL;
    if (sentinel_discover_sentinels(sentinel, service, 500, &nodes, NULL) != SENTINEL_OK)
        return;
    for (size_t i = 0; i < sentinel_nodes_len(nodes); i++)
        printf("sentinel  %s:%u  %s\n", sentinel_nodes_host(nodes, i), (unsigned)sentinel_nodes_port(nodes, i),
               field(nodes, i, "flags"));
    sentinel_nodes_free(nodes);
}

static void draw(sentinel_t *sentinel, const char *service) {
    int64_t failovers = 0;
    sentinel_metric(sentinel, "failovers_total", &failovers);
    if (isatty(STDOUT_FILENO))
        printf("\033[H\033[2J");
    printf("%s  %" PRId64 " failovers seen\n\n", service, failovers);
    show_primary(sentinel, service);
    show_replicas(sentinel, service);
    show_sentinels(sentinel, service);
    printf("\n");
    for (size_t i = event_count > EVENTS ? event_count - EVENTS : 0; i < event_count; i++)
        printf("%s\n", events[i % EVENTS]);
    fflush(stdout);
}

int main(int argc, char **argv) {
    const char *seconds = getenv("WATCH_SECONDS");
    int64_t end = seconds != NULL ? now_ms() + 1000 * atoll(seconds) : INT64_MAX, next = 0;
    sentinel_client_t *client = NULL;
    sentinel_queue_t *queue = NULL;
    sentinel_error_t *error = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: %s SERVICE HOST:PORT...\n", argv[0]);
        return 2;
    }
    sentinel_t *sentinel = open_deployment(argc, argv);
    /* The client is there to be connected: what it meets is among the events. */
    if (sentinel_queue_new(sentinel, 256, &queue, &error) != SENTINEL_OK ||
        sentinel_watch_events(sentinel,
                              SENTINEL_EVENT_PRIMARY_CHANGED | SENTINEL_EVENT_REPLICAS_CHANGED |
                                  SENTINEL_EVENT_SENTINELS_CHANGED | SENTINEL_EVENT_CONNECTION | SENTINEL_EVENT_FAILOVER,
                              queue, 0, &error) != SENTINEL_OK ||
        sentinel_primary_for(sentinel, argv[1], NULL, &client, &error) != SENTINEL_OK)
        fail(argv[1], error);
    if (sentinel_client_connect(client, 1000, NULL) != SENTINEL_OK)
        printf("no connection yet\n");
    while (now_ms() < end) {
        sentinel_completion_t entry;
        size_t count = 0;
        int64_t left = next - now_ms();
        if (left <= 0) {
            draw(sentinel, argv[1]);
            next = now_ms() + 1000;
            continue;
        }
        if (sentinel_queue_poll(queue, &entry, sizeof entry, 1, left, &count) == SENTINEL_OK) {
            note(entry.reply);
            sentinel_reply_free(entry.reply);
            sentinel_error_free(entry.error);
            next = 0; /* shown at once */
        }
    }
    sentinel_queue_free(queue);
    sentinel_client_free(client);
    sentinel_free(sentinel);
    return 0;
}
