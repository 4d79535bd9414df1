/*
 * async_sd_event SERVICE HOST:PORT...: a daemon on systemd's loop, which ends when its work is done.
 * libs: libsystemd
 *
 * Each completion submits the next call: a chain of a thousand, and the loop is free in between.
 */
#include <sentinel/adapters/sd-event.h>
#include <stdio.h>
#include <string.h>

#define CALLS 1000

struct daemon {
    sd_event *loop;
    sentinel_client_t *client;
    sentinel_queue_t *queue;
    int done;
};

static void fail(const char *what, sentinel_error_t *error)
{
    fprintf(stderr, "%s: %s\n", what, error != NULL ? sentinel_error_message(error, NULL) : "failed");
    exit(1);
}

static void submit(const struct daemon *daemon)
{
    const size_t lens[] = {4, 5};
    sentinel_error_t *error = NULL;

    if (sentinel_submit_queued(daemon->client, 2, lens, "INCRchain", 9, NULL, daemon->queue, 0, NULL, &error) !=
        SENTINEL_OK) {
        fail("submit", error);
    }
}

static void on_completion(void *data, sentinel_completion_t *done)
{
    struct daemon *daemon = data;

    if (done->status != SENTINEL_OK) {
        fail("INCR", done->error);
    }
    if (++daemon->done < CALLS) {
        submit(daemon);
    } else {
        printf("%d calls, the last of which answered %lld\n", daemon->done,
               (long long)sentinel_reply_integer(done->reply));
        sd_event_exit(daemon->loop, 0);
    }
    sentinel_reply_free(done->reply);
}

static sentinel_t *open_deployment(int argc, char **argv)
{
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_error_t *error = NULL;
    char url[1024] = "redis+sentinel://";
    int i;

    for (i = 2; i < argc; i++) {
        strncat(url, i > 2 ? "," : "", sizeof url - strlen(url) - 1);
        strncat(url, argv[i], sizeof url - strlen(url) - 1);
    }
    if (sentinel_options_parse_url(options, url, &error) != SENTINEL_OK ||
        sentinel_open(options, &sentinel, &error) != SENTINEL_OK) {
        fail(url, error);
    }
    sentinel_options_free(options);
    return sentinel;
}

int main(int argc, char **argv)
{
    static struct daemon daemon;
    sentinel_sd_event_t *adapter = NULL;
    sentinel_t *sentinel;
    sentinel_status_t status;
    sentinel_error_t *error = NULL;
    int result;

    if (argc < 3) {
        fprintf(stderr, "usage: %s SERVICE HOST:PORT...\n", argv[0]);
        return 2;
    }
    sentinel = open_deployment(argc, argv);
    if (sentinel_primary_for(sentinel, argv[1], NULL, &daemon.client, &error) != SENTINEL_OK ||
        sentinel_queue_new(sentinel, 16, &daemon.queue, &error) != SENTINEL_OK) {
        fail(argv[1], error);
    }
    if (sd_event_default(&daemon.loop) < 0) {
        fail("sd_event_default", NULL);
    }
    status = sentinel_sd_event_attach(daemon.loop, daemon.queue, on_completion, &daemon, &adapter);
    if (status != SENTINEL_OK) {
        fail(sentinel_status_name(status), NULL);
    }
    submit(&daemon);
    result = sd_event_loop(daemon.loop);
    sentinel_sd_event_detach(adapter); /* before the queue */
    sd_event_unref(daemon.loop);
    sentinel_queue_free(daemon.queue);
    sentinel_client_free(daemon.client);
    sentinel_free(sentinel);
    return result < 0;
}
