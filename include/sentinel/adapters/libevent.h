/*
 * A completion queue on libevent 2. What holds for every adapter stands in <sentinel/adapters/adapter.h>.
 *
 *     sentinel_libevent_t *adapter = NULL;
 *     sentinel_libevent_attach(base, queue, on_completion, user_data, &adapter);
 *     event_base_dispatch(base);
 *     sentinel_libevent_detach(adapter);
 *
 * Needs -levent or -levent_core. As long as it is attached, event_base_dispatch does not return for want of events.
 */
#ifndef SENTINEL_ADAPTERS_LIBEVENT_H
#define SENTINEL_ADAPTERS_LIBEVENT_H

#include <sentinel/adapters/adapter.h>

#include <event2/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A queue on a loop. The loop's thread only. */
typedef struct sentinel_libevent_t {
    struct sentinel_adapter common; /* first */
    struct event *event;
} sentinel_libevent_t;

static inline void sentinel_libevent_readable(evutil_socket_t fd, short what, void *adapter)
{
    (void)fd;
    (void)what;
    sentinel_adapter_turn(SENTINEL_ADAPTER_AS(struct sentinel_adapter, adapter));
}

static inline void sentinel_libevent_stop(struct sentinel_adapter *adapter)
{
    event_del(SENTINEL_ADAPTER_AS(sentinel_libevent_t, adapter)->event);
}

static inline void sentinel_libevent_release(struct sentinel_adapter *adapter)
{
    event_free(SENTINEL_ADAPTER_AS(sentinel_libevent_t, adapter)->event);
    free(adapter);
}

/**
 * Attaches `queue` to `base`: `done` is called with `user_data` for each completion. `*out` is freed by
 * sentinel_libevent_detach, before `base` and `queue` are.
 *
 * NULL_ARGUMENT when one of the pointers but `user_data` is NULL; FORKED or CLOSED as sentinel_queue_poll; INTERNAL
 * when there is no descriptor or memory left, or the loop refuses.
 */
SENTINEL_MUST_CHECK
static inline sentinel_status_t sentinel_libevent_attach(struct event_base *base, sentinel_queue_t *queue,
                                                         sentinel_done_fn done, void *user_data,
                                                         sentinel_libevent_t **out)
{
    struct sentinel_adapter *common = NULL;
    sentinel_libevent_t *adapter;
    sentinel_status_t status;

    if (base == NULL || out == NULL) {
        return SENTINEL_ERR_NULL_ARGUMENT;
    }
    status = sentinel_adapter_open(sizeof *adapter, queue, 0, done, user_data, &common);
    if (status != SENTINEL_OK) {
        return status;
    }
    adapter = SENTINEL_ADAPTER_AS(sentinel_libevent_t, common);
    common->stop = sentinel_libevent_stop;
    common->release = sentinel_libevent_release;
    errno = ENOMEM;
    adapter->event = event_new(base, common->fd, EV_READ | EV_PERSIST, sentinel_libevent_readable, adapter);
    if (adapter->event == NULL) {
        return sentinel_adapter_drop(common, errno);
    }
    if (event_add(adapter->event, NULL) != 0) {
        int cause = errno;

        event_free(adapter->event);
        return sentinel_adapter_drop(common, cause);
    }
    *out = adapter;
    return SENTINEL_OK;
}

/** `end` is called once, with the `user_data` of the attachment, when nothing more can come. NULL: nobody is told. */
static inline void sentinel_libevent_on_end(sentinel_libevent_t *adapter, sentinel_adapter_end_fn end)
{
    if (adapter != NULL) {
        adapter->common.end = end;
    }
}

/** The event on the loop, for event_priority_set. It belongs to the adapter. */
static inline struct event *sentinel_libevent_event(sentinel_libevent_t *adapter)
{
    return adapter != NULL ? adapter->event : NULL;
}

/** Takes the queue off the loop and frees the adapter, inside of `done` too; NULL is allowed. */
static inline void sentinel_libevent_detach(sentinel_libevent_t *adapter)
{
    sentinel_adapter_detach(SENTINEL_ADAPTER_AS(struct sentinel_adapter, adapter));
}

#ifdef __cplusplus
}
#endif

#endif
