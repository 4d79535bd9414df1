/*
 * async_libuv SERVICE HOST:PORT...: what changes a key is heard on the loop that changes it.
 * libs: libuv
 *
 * Calls and messages come through one queue, and its adapter tells them apart by their kind: a timer publishes a number
 * every ten milliseconds, until a hundred of them were heard.
 */
#define _POSIX_C_SOURCE 200809L /* for uv.h, where a program is compiled with -std=c11 */
#include <sentinel/adapters/libuv.h>
#include <stdio.h>
#include <string.h>

#define MESSAGES 100

struct program {
    sentinel_client_t *client;
    sentinel_queue_t *queue;
    sentinel_libuv_t *adapter;
    uv_timer_t clock;
    int published, heard, failed;
};

static void fail(const char *what, sentinel_error_t *error)
{
    fprintf(stderr, "%s: %s\n", what, error != NULL ? sentinel_error_message(error, NULL) : "failed");
    exit(1);
}

static void on_time(uv_timer_t *clock)
{
    struct program *program = clock->data;
    sentinel_error_t *error = NULL;
    char data[64];
    size_t lens[3] = {7, 7, 0};

    lens[2] = (size_t)snprintf(data, sizeof data, "PUBLISHnumbers%d", program->published++) - 14;
    if (sentinel_submit_queued(program->client, 3, lens, data, 14 + lens[2], NULL, program->queue, 0, NULL, &error) !=
        SENTINEL_OK) {
        fail("submit", error);
    }
}

static void on_completion(void *data, sentinel_completion_t *done)
{
    struct program *program = data;

    switch (done->kind) {
        case SENTINEL_COMPLETION_CALL: program->failed += done->status != SENTINEL_OK; break;
        case SENTINEL_COMPLETION_MESSAGE: program->heard++; break;
        default: uv_timer_start(&program->clock, on_time, 0, 10); /* the channel is subscribed to */
    }
    sentinel_reply_free(done->reply);
    sentinel_error_free(done->error);
    if (program->heard == MESSAGES) {
        uv_close((uv_handle_t *)&program->clock, NULL);
        sentinel_libuv_detach(program->adapter); /* nothing is left on the loop: uv_run returns */
    }
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
    static struct program program;
    const int kind = SENTINEL_SUBSCRIBE_CHANNEL | SENTINEL_SUBSCRIBE_CONFIRM;
    uv_loop_t *loop = uv_default_loop();
    sentinel_subscription_t *subscription = NULL;
    sentinel_t *sentinel;
    sentinel_status_t status;
    sentinel_error_t *error = NULL;

    if (argc < 3) {
        fprintf(stderr, "usage: %s SERVICE HOST:PORT...\n", argv[0]);
        return 2;
    }
    sentinel = open_deployment(argc, argv);
    if (sentinel_primary_for(sentinel, argv[1], NULL, &program.client, &error) != SENTINEL_OK ||
        sentinel_queue_new(sentinel, 1024, &program.queue, &error) != SENTINEL_OK ||
        sentinel_subscription_new(program.client, program.queue, 0, &subscription, &error) != SENTINEL_OK ||
        sentinel_subscription_add(subscription, kind, "numbers", 7, &error) != SENTINEL_OK) {
        fail(argv[1], error);
    }
    uv_timer_init(loop, &program.clock);
    program.clock.data = &program;
    status = sentinel_libuv_attach(loop, program.queue, on_completion, &program, &program.adapter);
    if (status != SENTINEL_OK) {
        fail(sentinel_status_name(status), NULL);
    }
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    printf("%d messages heard, %d calls failed\n", program.heard, program.failed);
    sentinel_subscription_free(subscription);
    sentinel_queue_free(program.queue);
    sentinel_client_free(program.client);
    sentinel_free(sentinel);
    return program.failed != 0;
}
