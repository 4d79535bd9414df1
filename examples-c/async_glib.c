/*
 * async_glib SERVICE HOST:PORT...: a desktop program's loop, and a thread that works for it.
 * libs: glib-2.0
 *
 * The thread submits, the loop is told: what belongs to the loop, such as a window, is touched by no other thread.
 */
#include <sentinel/adapters/glib.h>
#include <stdio.h>
#include <string.h>

#define CALLS 1000

struct program {
    GMainLoop *loop;
    GThread *home; /* where the loop runs */
    sentinel_client_t *client;
    sentinel_queue_t *queue;
    int done, failed, elsewhere;
};

static void fail(const char *what, sentinel_error_t *error)
{
    fprintf(stderr, "%s: %s\n", what, error != NULL ? sentinel_error_message(error, NULL) : "failed");
    exit(1);
}

static gpointer work(gpointer data)
{
    const struct program *program = data;
    const size_t lens[] = {4, 4};
    sentinel_error_t *error = NULL;
    uint64_t tag;

    for (tag = 0; tag < CALLS; tag++) {
        if (sentinel_submit_queued(program->client, 2, lens, "INCRglib", 8, NULL, program->queue, tag, NULL, &error) !=
            SENTINEL_OK) {
            fail("submit", error);
        }
    }
    return NULL;
}

static void on_completion(void *data, sentinel_completion_t *done)
{
    struct program *program = data;

    program->failed += done->status != SENTINEL_OK;
    program->elsewhere += g_thread_self() != program->home;
    sentinel_reply_free(done->reply);
    sentinel_error_free(done->error);
    if (++program->done == CALLS) {
        g_main_loop_quit(program->loop);
    }
}

static sentinel_t *open_deployment(int argc, char **argv)
{
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_error_t *error = NULL;
    GString *url = g_string_new("redis+sentinel://");
    int i;

    for (i = 2; i < argc; i++) {
        g_string_append_printf(url, "%s%s", i > 2 ? "," : "", argv[i]);
    }
    if (sentinel_options_parse_url(options, url->str, &error) != SENTINEL_OK ||
        sentinel_open(options, &sentinel, &error) != SENTINEL_OK) {
        fail(url->str, error);
    }
    g_string_free(url, TRUE);
    sentinel_options_free(options);
    return sentinel;
}

int main(int argc, char **argv)
{
    static struct program program;
    sentinel_glib_t *adapter = NULL;
    sentinel_t *sentinel;
    sentinel_status_t status;
    sentinel_error_t *error = NULL;
    GThread *worker;

    if (argc < 3) {
        fprintf(stderr, "usage: %s SERVICE HOST:PORT...\n", argv[0]);
        return 2;
    }
    sentinel = open_deployment(argc, argv);
    if (sentinel_primary_for(sentinel, argv[1], NULL, &program.client, &error) != SENTINEL_OK ||
        sentinel_queue_new(sentinel, CALLS, &program.queue, &error) != SENTINEL_OK) {
        fail(argv[1], error);
    }
    program.loop = g_main_loop_new(NULL, FALSE);
    program.home = g_thread_self();
    status = sentinel_glib_attach(NULL, program.queue, on_completion, &program, &adapter);
    if (status != SENTINEL_OK) {
        fail(sentinel_status_name(status), NULL);
    }
    worker = g_thread_new("worker", work, &program);
    g_main_loop_run(program.loop);
    g_thread_join(worker);
    printf("%d calls, %d failed, %d told elsewhere\n", program.done, program.failed, program.elsewhere);
    sentinel_glib_detach(adapter); /* before the queue */
    g_main_loop_unref(program.loop);
    sentinel_queue_free(program.queue);
    sentinel_client_free(program.client);
    sentinel_free(sentinel);
    return program.failed != 0 || program.elsewhere != 0;
}
