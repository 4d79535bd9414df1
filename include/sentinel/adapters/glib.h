/*
 * A completion queue on a GMainContext of GLib 2.36 and later. What holds for every adapter stands in
 * <sentinel/adapters/adapter.h>.
 *
 *     sentinel_glib_t *adapter = NULL;
 *     sentinel_glib_attach(NULL, queue, on_completion, user_data, &adapter);
 *     g_main_loop_run(loop);
 *     sentinel_glib_detach(adapter);
 *
 * Needs GLib (pkg-config glib-2.0). A context that is gone before its adapters is no harm: these are still to be
 * detached. A loop that the function itself runs, such as that of a modal dialog, hands over completions where the
 * program calls g_source_set_can_recurse(sentinel_glib_source_of(adapter), TRUE).
 */
#ifndef SENTINEL_ADAPTERS_GLIB_H
#define SENTINEL_ADAPTERS_GLIB_H

#include <sentinel/adapters/adapter.h>

#include <glib.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sentinel_glib_source;

/** A queue on a context. The context's thread only. */
typedef struct sentinel_glib_t {
    struct sentinel_adapter common; /* first */
    struct sentinel_glib_source *source;
} sentinel_glib_t;

struct sentinel_glib_source {
    GSource source; /* first */
    sentinel_glib_t *adapter;
};

static inline gboolean sentinel_glib_readable(GSource *source, GSourceFunc callback, gpointer user_data)
{
    (void)callback;
    (void)user_data;
    sentinel_adapter_turn(&SENTINEL_ADAPTER_AS(struct sentinel_glib_source, source)->adapter->common);
    return G_SOURCE_CONTINUE; /* of no effect on one that was destroyed meanwhile */
}

static inline void sentinel_glib_stop(struct sentinel_adapter *adapter)
{
    g_source_destroy(&SENTINEL_ADAPTER_AS(sentinel_glib_t, adapter)->source->source);
}

static inline void sentinel_glib_release(struct sentinel_adapter *adapter)
{
    g_source_unref(&SENTINEL_ADAPTER_AS(sentinel_glib_t, adapter)->source->source);
    free(adapter);
}

/**
 * Attaches `queue` to `context` (NULL: the default one): `done` is called with `user_data` for each completion.
 * `*out` is freed by sentinel_glib_detach, before `queue` is.
 *
 * NULL_ARGUMENT when `queue`, `done` or `out` is NULL; FORKED or CLOSED as sentinel_queue_poll; INTERNAL when there
 * is no descriptor or memory left.
 */
SENTINEL_MUST_CHECK
static inline sentinel_status_t sentinel_glib_attach(GMainContext *context, sentinel_queue_t *queue,
                                                     sentinel_done_fn done, void *user_data, sentinel_glib_t **out)
{
    static GSourceFuncs functions = {NULL, NULL, sentinel_glib_readable, NULL, NULL, NULL};
    struct sentinel_adapter *common = NULL;
    sentinel_glib_t *adapter;
    GSource *source;
    sentinel_status_t status;

    if (out == NULL) {
        return SENTINEL_ERR_NULL_ARGUMENT;
    }
    status = sentinel_adapter_open(sizeof *adapter, queue, 1, done, user_data, &common);
    if (status != SENTINEL_OK) {
        return status;
    }
    adapter = SENTINEL_ADAPTER_AS(sentinel_glib_t, common);
    common->stop = sentinel_glib_stop;
    common->release = sentinel_glib_release;
    source = g_source_new(&functions, sizeof *adapter->source);
    adapter->source = SENTINEL_ADAPTER_AS(struct sentinel_glib_source, source);
    adapter->source->adapter = adapter;
    g_source_set_name(source, "sentinel queue");
    g_source_add_unix_fd(source, common->fd, G_IO_IN);
    g_source_attach(source, context);
    *out = adapter;
    return SENTINEL_OK;
}

/** `end` is called once, with the `user_data` of the attachment, when nothing more can come. NULL: nobody is told. */
static inline void sentinel_glib_on_end(sentinel_glib_t *adapter, sentinel_adapter_end_fn end)
{
    if (adapter != NULL) {
        adapter->common.end = end;
    }
}

/** The source in the context, for g_source_set_priority and g_source_set_can_recurse. It belongs to the adapter. */
static inline GSource *sentinel_glib_source_of(sentinel_glib_t *adapter)
{
    return adapter != NULL ? &adapter->source->source : NULL;
}

/** Takes the queue off the context and frees the adapter, inside of `done` too; NULL is allowed. */
static inline void sentinel_glib_detach(sentinel_glib_t *adapter)
{
    sentinel_adapter_detach(SENTINEL_ADAPTER_AS(struct sentinel_adapter, adapter));
}

#ifdef __cplusplus
}
#endif

#endif
