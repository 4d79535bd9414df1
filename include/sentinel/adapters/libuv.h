/*
 * A completion queue on libuv. What holds for every adapter stands in <sentinel/adapters/adapter.h>.
 *
 *     sentinel_libuv_t *adapter = NULL;
 *     sentinel_libuv_attach(uv_default_loop(), queue, on_completion, user_data, &adapter);
 *     uv_run(uv_default_loop(), UV_RUN_DEFAULT);
 *     sentinel_libuv_detach(adapter);
 *
 * Needs libuv (pkg-config libuv). As with every handle, the memory is freed in a turn of the loop after it was
 * detached: run the loop once more before uv_loop_close, which says UV_EBUSY until then. As long as a queue is
 * attached uv_run does not return by itself; uv_unref(sentinel_libuv_handle(adapter)) changes that.
 */
#ifndef SENTINEL_ADAPTERS_LIBUV_H
#define SENTINEL_ADAPTERS_LIBUV_H

#include <sentinel/adapters/adapter.h>

#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A queue on a loop. The loop's thread only. */
typedef struct sentinel_libuv_t {
    struct sentinel_adapter common; /* first */
    uv_poll_t poll;
} sentinel_libuv_t;

static inline void sentinel_libuv_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static inline void sentinel_libuv_stop(struct sentinel_adapter *adapter)
{
    uv_poll_stop(&SENTINEL_ADAPTER_AS(sentinel_libuv_t, adapter)->poll);
}

static inline void sentinel_libuv_release(struct sentinel_adapter *adapter)
{
    uv_poll_t *poll = &SENTINEL_ADAPTER_AS(sentinel_libuv_t, adapter)->poll;

    uv_close(SENTINEL_ADAPTER_AS(uv_handle_t, poll), sentinel_libuv_closed);
}

static inline void sentinel_libuv_readable(uv_poll_t *handle, int status, int events)
{
    (void)status; /* the poll of the queue tells more */
    (void)events;
    sentinel_adapter_turn(SENTINEL_ADAPTER_AS(struct sentinel_adapter, handle->data));
}

/**
 * Attaches `queue` to `loop`: `done` is called with `user_data` for each completion. `*out` is freed by
 * sentinel_libuv_detach, before `loop` and `queue` are.
 *
 * NULL_ARGUMENT when one of the pointers but `user_data` is NULL; FORKED or CLOSED as sentinel_queue_poll; INTERNAL
 * when there is no descriptor or memory left, or the loop refuses.
 */
SENTINEL_MUST_CHECK
static inline sentinel_status_t sentinel_libuv_attach(uv_loop_t *loop, sentinel_queue_t *queue, sentinel_done_fn done,
                                                      void *user_data, sentinel_libuv_t **out)
{
    struct sentinel_adapter *common = NULL;
    sentinel_libuv_t *adapter;
    sentinel_status_t status;
    int refused;

    if (loop == NULL || out == NULL) {
        return SENTINEL_ERR_NULL_ARGUMENT;
    }
    status = sentinel_adapter_open(sizeof *adapter, queue, 1, done, user_data, &common);
    if (status != SENTINEL_OK) {
        return status;
    }
    adapter = SENTINEL_ADAPTER_AS(sentinel_libuv_t, common);
    common->stop = sentinel_libuv_stop;
    common->release = sentinel_libuv_release;
    refused = uv_poll_init(loop, &adapter->poll, common->fd);
    if (refused != 0) {
        return sentinel_adapter_drop(common, -refused);
    }
    adapter->poll.data = adapter;
    refused = uv_poll_start(&adapter->poll, UV_READABLE, sentinel_libuv_readable);
    if (refused != 0) {
        sentinel_adapter_detach(common);
        errno = -refused;
        return SENTINEL_ERR_INTERNAL;
    }
    *out = adapter;
    return SENTINEL_OK;
}

/** `end` is called once, with the `user_data` of the attachment, when nothing more can come. NULL: nobody is told. */
static inline void sentinel_libuv_on_end(sentinel_libuv_t *adapter, sentinel_adapter_end_fn end)
{
    if (adapter != NULL) {
        adapter->common.end = end;
    }
}

/** The handle on the loop, for uv_unref. It belongs to the adapter. */
static inline uv_handle_t *sentinel_libuv_handle(sentinel_libuv_t *adapter)
{
    return adapter != NULL ? SENTINEL_ADAPTER_AS(uv_handle_t, &adapter->poll) : NULL;
}

/** Takes the queue off the loop and frees the adapter, inside of `done` too; NULL is allowed. */
static inline void sentinel_libuv_detach(sentinel_libuv_t *adapter)
{
    sentinel_adapter_detach(SENTINEL_ADAPTER_AS(struct sentinel_adapter, adapter));
}

#ifdef __cplusplus
}
#endif

#endif
