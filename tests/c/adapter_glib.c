/*
 * needs: topology. Called with SERVICE HOST:PORT... The adapter of GLib: what "adapters.h" asks of each,
 * and a function that runs the loop.
 * libs: glib-2.0
 */
#define _POSIX_C_SOURCE 200809L
#include <sentinel/adapters/glib.h>

typedef struct {
    GMainContext *context;
    GMainLoop *loop;
} loop_t;
typedef sentinel_glib_t adapter_t;
#define detach sentinel_glib_detach
#define on_end sentinel_glib_on_end
#define inner sentinel_glib_source_of
#define NULL_IS_A_LOOP
#define FREE_LOOP_FIRST 1
#define RUN_IN_CHILD 1
#define COPIES 1

typedef struct {
    GSource *source;
    void (*tick)(void *user_data);
    void *user_data;
} ticker_t;

static loop_t *loop_new(void)
{
    loop_t *loop = malloc(sizeof *loop);

    loop->context = g_main_context_new();
    loop->loop = g_main_loop_new(loop->context, FALSE);
    return loop;
}

static void loop_free(loop_t *loop)
{
    g_main_loop_unref(loop->loop);
    g_main_context_unref(loop->context);
    free(loop);
}

static void loop_run(loop_t *loop)
{
    g_main_loop_run(loop->loop);
}

static void loop_stop(loop_t *loop)
{
    g_main_loop_quit(loop->loop);
}

static void loop_forked(loop_t *loop)
{
    (void)loop;
}

static sentinel_status_t attach(loop_t *loop, sentinel_queue_t *queue, sentinel_done_fn done, void *user_data,
                                adapter_t **out)
{
    return sentinel_glib_attach(loop->context, queue, done, user_data, out);
}

static gboolean on_timer(gpointer data)
{
    ticker_t *ticker = data;

    ticker->tick(ticker->user_data);
    return G_SOURCE_CONTINUE;
}

static ticker_t *ticker_new(loop_t *loop, int ms, void (*tick)(void *user_data), void *user_data)
{
    ticker_t *ticker = malloc(sizeof *ticker);

    ticker->tick = tick;
    ticker->user_data = user_data;
    ticker->source = g_timeout_source_new((guint)ms);
    g_source_set_callback(ticker->source, on_timer, ticker, NULL);
    g_source_attach(ticker->source, loop->context);
    return ticker;
}

static void ticker_free(ticker_t *ticker)
{
    g_source_destroy(ticker->source);
    g_source_unref(ticker->source);
    free(ticker);
}

#include "adapters.h"

#define main every_adapter
#include "adapters_misuse.h"
#undef main

/* The first completion runs the loop for all others; the last one detaches. */
static void on_nested(void *user_data, sentinel_completion_t *completion)
{
    struct leaving *leaving = user_data;

    see(&leaving->seen, completion);
    if (leaving->seen.count == 1) {
        GMainLoop *inner_loop = g_main_loop_new(leaving->loop->context, FALSE), *outer = leaving->loop->loop;

        leaving->loop->loop = inner_loop;
        g_main_loop_run(inner_loop);
        leaving->loop->loop = outer;
        g_main_loop_unref(inner_loop);
        CHECK_EQUAL(EACH, leaving->seen.count);
        g_main_loop_quit(outer);
    } else if (leaving->seen.count == EACH) {
        detach(leaving->adapter);
        detach(leaving->adapter); /* inside of the function twice is once */
        loop_stop(leaving->loop);
    }
}

static void the_function_runs_the_loop(int argc, char **argv)
{
    struct leaving leaving;
    int i;

    sentinel = live_open(argc, argv);
    client = live_primary(sentinel, argv[1]);
    memset(&leaving, 0, sizeof leaving);
    leaving.loop = loop_new();
    leaving.queue = new_queue(EACH);
    leaving.seen = seen_new(EACH);
    leaving.adapter = attached(leaving.loop, leaving.queue, on_nested, &leaving);
    g_source_set_can_recurse(sentinel_glib_source_of(leaving.adapter), TRUE);
    for (i = 0; i < EACH; i++) {
        submit(leaving.queue, (uint64_t)i);
    }
    loop_run(leaving.loop);
    see_rest(&leaving.seen, leaving.queue);
    sentinel_queue_free(leaving.queue);
    loop_free(leaving.loop);
    sentinel_client_free(client);
    sentinel_free(sentinel);
}

struct nested_end {
    struct ending ending;
    sentinel_t *deployment;
};

/* Closes the deployment, and runs the loop until the end is told. */
static void on_closing(void *user_data, sentinel_completion_t *completion)
{
    struct nested_end *nested = user_data;

    if (completion->status == SENTINEL_OK) {
        CHECK_STATUS(SENTINEL_OK, sentinel_close(nested->deployment, 30000));
        while (!nested->ending.told) {
            g_main_context_iteration(nested->ending.loop->context, TRUE);
        }
    }
    sentinel_reply_free(completion->reply);
    sentinel_error_free(completion->error);
}

static void on_the_nested_end(void *user_data, sentinel_status_t status)
{
    struct nested_end *nested = user_data;

    nested->ending.told++;
    nested->ending.why = status;
}

/* The turn inside tells the end; the one outside goes on, and says nothing more. */
static void the_end_is_told_once(int argc, char **argv)
{
    struct nested_end nested;
    sentinel_client_t *primary;
    sentinel_queue_t *queue = NULL;
    const size_t lens[] = {5, 4, 1}, echo[] = {4, 1};
    ticker_t *ticker;

    memset(&nested, 0, sizeof nested);
    nested.deployment = live_open(argc, argv);
    primary = live_primary(nested.deployment, argv[1]);
    nested.ending.loop = loop_new();
    CHECK_STATUS(SENTINEL_OK, sentinel_queue_new(nested.deployment, 2, &queue, NULL));
    nested.ending.adapter = attached(nested.ending.loop, queue, on_closing, &nested);
    g_source_set_can_recurse(sentinel_glib_source_of(nested.ending.adapter), TRUE);
    on_end(nested.ending.adapter, on_the_nested_end);
    CHECK_STATUS(SENTINEL_OK, sentinel_submit_queued(primary, 3, lens, "BLPOPnone0", 10, NULL, queue, 0, NULL, NULL));
    CHECK_STATUS(SENTINEL_OK, sentinel_submit_queued(primary, 2, echo, "ECHOx", 5, NULL, queue, 1, NULL, NULL));
    ticker = ticker_new(nested.ending.loop, 1, on_end_tick, &nested.ending);
    loop_run(nested.ending.loop);
    CHECK_EQUAL(1, nested.ending.told);
    CHECK_EQUAL(SENTINEL_ERR_CLOSED, nested.ending.why);
    ticker_free(ticker);
    detach(nested.ending.adapter);
    loop_free(nested.ending.loop);
    sentinel_queue_free(queue);
    sentinel_client_free(primary);
    sentinel_free(nested.deployment);
}

int main(int argc, char **argv)
{
    the_function_runs_the_loop(argc, argv);
    the_end_is_told_once(argc, argv);
    return every_adapter(argc, argv);
}
