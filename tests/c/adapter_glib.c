/*
 * needs: topology. Called with SERVICE HOST:PORT... The adapter of GLib: what "adapters.h" asks of each.
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

#include "adapters_misuse.h"
