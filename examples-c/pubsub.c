/*
 * Hear what is published, whatever happens to the primary, and be told when something may have been missed.
 *
 *     pubsub SERVICE HOST:PORT [HOST:PORT...]
 *
 * Each HOST:PORT is a Sentinel. Subscribes to the channel "news" and the pattern "alerts.*", and publishes on both
 * twice a second by itself, so that there is something to hear: kill the primary and watch. Ends on SIGINT or SIGTERM,
 * or after PUBSUB_SECONDS seconds.
 */
#define _POSIX_C_SOURCE 200809L
#include <sentinel.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { QUEUE = 1024, AT_ONCE = 16, INTERVAL_MS = 500, PUBLISH_MS = 400, TAG = 1 };

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

static const char *field(const sentinel_reply_t *event, const char *key) {
    const char *text = sentinel_reply_data(sentinel_reply_get(event, key, strlen(key)), NULL);
    return text != NULL ? text : "?";
}

static long long number(const sentinel_reply_t *event, const char *key) {
    return (long long)sentinel_reply_integer(sentinel_reply_get(event, key, strlen(key)));
}

/* A message is a push: what matched, the channel, the payload. Everything else about a subscription is an event. */
static void print(sentinel_completion_t *entry) {
    if (entry->status != SENTINEL_OK) {
        printf("refused: %s\n", sentinel_error_message(entry->error, NULL));
    } else if (entry->kind == SENTINEL_COMPLETION_MESSAGE) {
        size_t len = sentinel_reply_len(entry->reply);
        printf("message on %s: %s\n", sentinel_reply_data(sentinel_reply_at(entry->reply, len - 2), NULL),
               sentinel_reply_data(sentinel_reply_at(entry->reply, len - 1), NULL));
    } else if (strcmp(field(entry->reply, "event"), "subscription_gap") == 0) {
        /* Whoever keeps state from messages reads it anew here. */
        printf("GAP of %lld ms: %s -> %s, %lld dropped\n", number(entry->reply, "milliseconds"),
               field(entry->reply, "from"), field(entry->reply, "to"), number(entry->reply, "dropped"));
    } else {
        printf("%s: %s \"%s\" at %s\n", field(entry->reply, "event"), field(entry->reply, "kind"),
               field(entry->reply, "channel"), field(entry->reply, "node"));
    }
    sentinel_reply_free(entry->reply);
    sentinel_error_free(entry->error);
}

/* Fails during a failover: the next one goes to the new primary. */
static void publish(sentinel_client_t *client, const char *channel, unsigned long n) {
    sentinel_call_t call = SENTINEL_CALL_INIT;
    char text[32];
    call.timeout_ms = PUBLISH_MS;
    snprintf(text, sizeof text, "%lu", n);
    if (sentinel_command(client, SENTINEL_ARGS("PUBLISH", channel, text), NULL, &call, NULL, NULL) != SENTINEL_OK)
        printf("not published: %s\n", text);
}

static int listen_until_stopped(sentinel_client_t *client, sentinel_queue_t *queue, int64_t seconds) {
    int64_t start = now_ms(), next = start;
    for (unsigned long n = 1; !stop && (seconds <= 0 || now_ms() < start + seconds * 1000);) {
        sentinel_completion_t entries[AT_ONCE];
        size_t count = 0;
        /* A program with an event loop waits for sentinel_queue_fd to be readable, and polls with a timeout of 0. */
        int64_t wait = next > now_ms() ? next - now_ms() : 0;
        sentinel_status_t status = sentinel_queue_poll(queue, entries, sizeof entries[0], AT_ONCE, wait, &count);
        if (status != SENTINEL_OK && status != SENTINEL_EMPTY) {
            fprintf(stderr, "poll: %s\n", sentinel_status_message(status));
            return 1;
        }
        for (size_t i = 0; i < count; i++)
            print(&entries[i]);
        if (now_ms() >= next) {
            publish(client, n % 2 != 0 ? "news" : "alerts.example", n);
            n++;
            next = now_ms() + INTERVAL_MS;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s SERVICE HOST:PORT [HOST:PORT...]\n", argv[0]);
        return 1;
    }
    const char *seconds = getenv("PUBSUB_SECONDS"), *step = "options";
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_client_t *client = NULL;
    sentinel_queue_t *queue = NULL;
    sentinel_subscription_t *subscription = NULL;
    sentinel_error_t *error = NULL;
    int result = 1;
    struct sigaction action = {.sa_handler = on_signal};
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    for (int i = 2; i < argc; i++)
        if (add_sentinel(options, argv[i], &error) != SENTINEL_OK)
            goto done;
    step = "open";
    if (sentinel_open(options, &sentinel, &error) != SENTINEL_OK ||
        sentinel_primary_for(sentinel, argv[1], NULL, &client, &error) != SENTINEL_OK ||
        sentinel_queue_new(sentinel, QUEUE, &queue, &error) != SENTINEL_OK)
        goto done;
    /* Neither call waits: with CONFIRM the event "subscribed" tells when a name is in force. */
    const int32_t channel = SENTINEL_SUBSCRIBE_CHANNEL | SENTINEL_SUBSCRIBE_CONFIRM;
    const int32_t pattern = SENTINEL_SUBSCRIBE_PATTERN | SENTINEL_SUBSCRIBE_CONFIRM;
    step = "subscribe";
    if (sentinel_subscription_new(client, queue, TAG, &subscription, &error) != SENTINEL_OK ||
        sentinel_subscription_add(subscription, channel, "news", 4, &error) != SENTINEL_OK ||
        sentinel_subscription_add(subscription, pattern, "alerts.*", 8, &error) != SENTINEL_OK)
        goto done;
    result = listen_until_stopped(client, queue, seconds != NULL ? strtoll(seconds, NULL, 10) : 0);

done:
    if (error != NULL)
        result = fail(step, error);
    sentinel_subscription_free(subscription);
    sentinel_queue_free(queue);
    sentinel_client_free(client);
    sentinel_free(sentinel);
    sentinel_options_free(options);
    return result;
}
