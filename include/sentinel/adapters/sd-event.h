/*
 * A completion queue on sd-event, the loop of libsystemd. What holds for every adapter stands in
 * <sentinel/adapters/adapter.h>.
 *
 *     sentinel_sd_event_t *adapter = NULL;
 *     sentinel_sd_event_attach(event, queue, on_completion, user_data, &adapter);
 *     sd_event_loop(event);
 *     sentinel_sd_event_detach(adapter);
 *
 * Needs libsystemd (pkg-config libsystemd). The adapter holds a reference on the loop. In a forked child, where
 * sd-event does nothing, it may be detached at once.
 */
#ifndef SENTINEL_ADAPTERS_SD_EVENT_H
#define SENTINEL_ADAPTERS_SD_EVENT_H

#include <sentinel/adapters/adapter.h>

#include <sys/epoll.h>

#include <systemd/sd-event.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A queue on a loop. The loop's thread only. */
typedef struct sentinel_sd_event_t {
    struct sentinel_adapter common; /* first */
    sd_event_source *source;
} sentinel_sd_event_t;

static inline int sentinel_sd_event_readable(sd_event_source *source, int fd, uint32_t events, void *adapter)
{
    (void)source;
    (void)fd;
    (void)events;
    sentinel_adapter_turn(SENTINEL_ADAPTER_AS(struct sentinel_adapter, adapter));
    return 0;
}

static inline void sentinel_sd_event_stop(struct sentinel_adapter *adapter)
{
    sd_event_source_set_enabled(SENTINEL_ADAPTER_AS(sentinel_sd_event_t, adapter)->source, SD_EVENT_OFF);
}

static inline void sentinel_sd_event_release(struct sentinel_adapter *adapter)
{
    sd_event_source_unref(SENTINEL_ADAPTER_AS(sentinel_sd_event_t, adapter)->source);
    free(adapter);
}

/**
 * Attaches `queue` to `event`: `done` is called with `user_data` for each completion. `*out` is freed by
 * sentinel_sd_event_detach, before `queue` is.
 *
 * NULL_ARGUMENT when one of the pointers but `user_data` is NULL; FORKED or CLOSED as sentinel_queue_poll; INTERNAL
 * when there is no descriptor or memory left, or the loop refuses.
 */
SENTINEL_MUST_CHECK
static inline sentinel_status_t sentinel_sd_event_attach(sd_event *event, sentinel_queue_t *queue,
                                                         sentinel_done_fn done, void *user_data,
                                                         sentinel_sd_event_t **out)
{
    struct sentinel_adapter *common = NULL;
    sentinel_sd_event_t *adapter;
    sentinel_status_t status;
    int refused;

    if (event == NULL || out == NULL) {
        return SENTINEL_ERR_NULL_ARGUMENT;
    }
    status = sentinel_adapter_open(sizeof *adapter, queue, 1, done, user_data, &common);
    if (status != SENTINEL_OK) {
        return status;
    }
    adapter = SENTINEL_ADAPTER_AS(sentinel_sd_event_t, common);
    common->stop = sentinel_sd_event_stop;
    common->release = sentinel_sd_event_release;
    refused = sd_event_add_io(event, &adapter->source, common->fd, EPOLLIN, sentinel_sd_event_readable, adapter);
    if (refused < 0) {
        return sentinel_adapter_drop(common, -refused);
    }
    (void)sd_event_source_set_description(adapter->source, "sentinel queue");
    *out = adapter;
    return SENTINEL_OK;
}

/** `end` is called once, with the `user_data` of the attachment, when nothing more can come. NULL: nobody is told. */
static inline void sentinel_sd_event_on_end(sentinel_sd_event_t *adapter, sentinel_adapter_end_fn end)
{
    if (adapter != NULL) {
        adapter->common.end = end;
    }
}

/** The source on the loop, for sd_event_source_set_priority. It belongs to the adapter. */
static inline sd_event_source *sentinel_sd_event_source(sentinel_sd_event_t *adapter)
{
    return adapter != NULL ? adapter->source : NULL;
}

/** Takes the queue off the loop and frees the adapter, inside of `done` too; NULL is allowed. */
static inline void sentinel_sd_event_detach(sentinel_sd_event_t *adapter)
{
    sentinel_adapter_detach(SENTINEL_ADAPTER_AS(struct sentinel_adapter, adapter));
}

#ifdef __cplusplus
}
#endif

#endif
