/*
 * What the adapters of event loops in C have in common. A program includes the one of its loop:
 * <sentinel/adapters/libevent.h>, <sentinel/adapters/libuv.h>, <sentinel/adapters/glib.h> or
 * <sentinel/adapters/sd-event.h>. Header only; C99 and C++11.
 *
 * An adapter attaches a completion queue to a loop, and calls a function on the loop's thread for each completion in
 * it: calls, messages of subscriptions, events of sentinel_watch_events. The names below are those of libevent; the
 * others have the same with their own.
 *
 * Ownership. sentinel_libevent_attach hands over an adapter, sentinel_libevent_detach takes it back; NULL is allowed
 * there. The function frees the completion's reply and error, as after sentinel_queue_poll; `completion` itself lives
 * until it returns. The adapter borrows the queue and the loop: detach, then free the queue and the loop.
 *
 * Detaching. From the function as well, and before it frees the queue, the client or the deployment. After that
 * nothing is called; what has not been handed over stays in the queue, to be polled or attached again. Calls under
 * way go on.
 *
 * Turns. In one turn of the loop at most SENTINEL_ADAPTER_TURN completions of a queue are handed over, so that timers
 * and other descriptors have theirs. A function that waits keeps the whole loop waiting.
 *
 * Threads. An adapter is attached, used and detached on the loop's thread, or while the loop does not run. Submitting
 * is for any thread. A queue may be attached more than once, to loops of other threads too: each completion reaches
 * one.
 *
 * Failures. A status; with SENTINEL_ERR_INTERNAL `errno` says why. When the queue cannot be polled any more, the
 * adapter does not watch it any longer, and says so to who asked by sentinel_libevent_on_end: SENTINEL_ERR_FORKED in
 * a forked child, SENTINEL_ERR_PANIC, or SENTINEL_ERR_CLOSED after the last call of a deployment that was closed with
 * calls under way; a queue that is idle then stays silent. Of several adapters on one queue it is told to whoever polls
 * it then, perhaps one of them. The adapter is still to be detached.
 *
 * In a forked child the loop comes first (event_reinit, uv_loop_fork), then the adapters on it are detached: before
 * that, a loop shares its descriptors with the parent's, and detaching would end the parent's watch.
 *
 * An exception must not leave the function.
 */
#ifndef SENTINEL_ADAPTERS_ADAPTER_H
#define SENTINEL_ADAPTERS_ADAPTER_H

#include <sentinel.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/** Completions of one queue that are handed over in a turn of a loop, at most. A program may define another number. */
#ifndef SENTINEL_ADAPTER_TURN
#define SENTINEL_ADAPTER_TURN 64
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Told once that nothing more comes, and why: the status of sentinel_queue_poll. May detach the adapter. */
typedef void (*sentinel_adapter_end_fn)(void *user_data, sentinel_status_t status);

/* All that follows is the adapters' own. */

/* A pointer as one of another type, as each of the languages writes it: compilers of C++ warn of the casts of C. */
#ifdef __cplusplus
#define SENTINEL_ADAPTER_AS(type, pointer) (reinterpret_cast<type *>(pointer))
#else
#define SENTINEL_ADAPTER_AS(type, pointer) ((type *)(pointer))
#endif

struct sentinel_adapter {
    sentinel_queue_t *queue;
    sentinel_done_fn done;
    sentinel_adapter_end_fn end;
    void *user_data;
    int fd;
    int copied;  /* `fd` is the adapter's own, as sentinel_adapter_open says */
    int turning; /* more than once where the function runs the loop, and that allows it */
    int detached;
    int ended; /* nothing more comes, and who asked was told */
    /* The loop watches the descriptor no longer. More than once is no harm. */
    void (*stop)(struct sentinel_adapter *adapter);
    /* Frees it all. After stop, and never inside of a turn. */
    void (*release)(struct sentinel_adapter *adapter);
};

/* OK, or why the queue cannot be polled at all. Takes nothing out. */
static inline sentinel_status_t sentinel_adapter_probe(sentinel_queue_t *queue)
{
    sentinel_status_t status = sentinel_queue_poll(queue, NULL, sizeof(sentinel_completion_t), 0, 0, NULL);

    return status < 0 ? status : SENTINEL_OK;
}

static inline int sentinel_adapter_copy_of(int fd)
{
#ifdef F_DUPFD_CLOEXEC
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
#else
    int copy = dup(fd);

    if (copy >= 0) {
        (void)fcntl(copy, F_SETFD, FD_CLOEXEC);
    }
    return copy;
#endif
}

/*
 * Whether a turn goes on that has handed over all but `left`. After the last one of its number it looks once more where
 * nothing waits: that is how the end of a queue is found.
 */
static inline int sentinel_adapter_goes_on(int fd, int left)
{
    struct pollfd entry;

    entry.fd = fd;
    entry.events = POLLIN;
    entry.revents = 0;
    return left > 0 || (left == 0 && poll(&entry, 1, 0) == 0);
}

/*
 * Memory of `size` bytes that begins with a `struct sentinel_adapter`, in `*out`. Without a loop yet, it is given
 * back by sentinel_adapter_drop.
 *
 * `copied`: the loop gets a copy of the queue's descriptor. Most know a descriptor by its number: a queue that is
 * attached twice to one needs two, and a number must not be another file's while a loop still has it. A loop that
 * takes one twice, and tells the kernel later what it watches no longer, must have the queue's own: closed before
 * that, a copy stays watched for ever, for its file is still open.
 */
static inline sentinel_status_t sentinel_adapter_open(size_t size, sentinel_queue_t *queue, int copied,
                                                      sentinel_done_fn done, void *user_data,
                                                      struct sentinel_adapter **out)
{
    struct sentinel_adapter *adapter;
    sentinel_status_t status;
    int fd;

    if (queue == NULL || done == NULL) {
        return SENTINEL_ERR_NULL_ARGUMENT;
    }
    status = sentinel_adapter_probe(queue);
    if (status != SENTINEL_OK) {
        return status;
    }
    adapter = SENTINEL_ADAPTER_AS(struct sentinel_adapter, calloc(1, size));
    if (adapter == NULL) {
        errno = ENOMEM;
        return SENTINEL_ERR_INTERNAL;
    }
    fd = sentinel_queue_fd(queue);
    if (fd < 0) {
        errno = EMFILE; /* the only cause that is left */
    }
    adapter->copied = copied;
    adapter->fd = fd >= 0 && copied ? sentinel_adapter_copy_of(fd) : fd;
    if (adapter->fd < 0) {
        int cause = errno;

        free(adapter);
        errno = cause;
        return SENTINEL_ERR_INTERNAL;
    }
    adapter->queue = queue;
    adapter->done = done;
    adapter->user_data = user_data;
    *out = adapter;
    return SENTINEL_OK;
}

static inline void sentinel_adapter_close(struct sentinel_adapter *adapter)
{
    if (adapter->copied) {
        close(adapter->fd);
    }
}

/* What was opened and has no loop, for `cause`. */
static inline sentinel_status_t sentinel_adapter_drop(struct sentinel_adapter *adapter, int cause)
{
    sentinel_adapter_close(adapter);
    free(adapter);
    errno = cause;
    return SENTINEL_ERR_INTERNAL;
}

static inline void sentinel_adapter_detach(struct sentinel_adapter *adapter)
{
    if (adapter == NULL || adapter->detached) {
        return;
    }
    adapter->detached = 1;
    adapter->stop(adapter);
    sentinel_adapter_close(adapter);
    if (!adapter->turning) {
        adapter->release(adapter);
    }
}

/* The loop cannot, or the queue cannot be polled any more. */
static inline void sentinel_adapter_end(struct sentinel_adapter *adapter, sentinel_status_t status)
{
    adapter->ended = 1;
    adapter->stop(adapter);
    if (adapter->end != NULL) {
        adapter->end(adapter->user_data, status);
    }
}

/*
 * The descriptor is readable. The adapter may be gone afterwards.
 *
 * Completions are taken one at a time: what has not been handed over when the function detaches is still in the queue.
 */
static inline void sentinel_adapter_turn(struct sentinel_adapter *adapter)
{
    int left;

    adapter->turning++;
    for (left = SENTINEL_ADAPTER_TURN;
         !adapter->detached && !adapter->ended && sentinel_adapter_goes_on(adapter->fd, left); left--) {
        sentinel_completion_t entry;
        sentinel_status_t status = sentinel_queue_poll(adapter->queue, &entry, sizeof entry, 1, 0, NULL);

        if (status < 0) {
            sentinel_adapter_end(adapter, status);
        }
        if (status != SENTINEL_OK) {
            break; /* SENTINEL_EMPTY: another thread was faster */
        }
        adapter->done(adapter->user_data, &entry);
    }
    if (--adapter->turning == 0 && adapter->detached) {
        adapter->release(adapter);
    }
}

#ifdef __cplusplus
}
#endif

#endif
