/*
 * What the two halves of the extension share: the functions of the library, and values of Ruby made of its replies.
 */
#ifndef SENTINEL_REDIS_FAST_H
#define SENTINEL_REDIS_FAST_H
#include <sentinel.h>

#include <ruby.h>

#pragma GCC visibility push(hidden)

extern struct library {
    sentinel_status_t (*try_command)(sentinel_client_t *, size_t, const size_t *, const void *, size_t,
                                     const sentinel_call_t *, int64_t, sentinel_queue_t *, uint64_t, uint64_t *,
                                     sentinel_reply_t **, sentinel_error_t **);
    sentinel_status_t (*queue_poll)(sentinel_queue_t *, sentinel_completion_t *, size_t, size_t, int64_t, size_t *);
    sentinel_status_t (*queue_wake)(sentinel_queue_t *);
    sentinel_status_t (*cancel)(sentinel_client_t *, uint64_t);
    const sentinel_reply_node_t *(*reply_nodes)(const sentinel_reply_t *, size_t *, size_t *);
    void (*reply_free)(sentinel_reply_t *);
    void (*error_free)(sentinel_error_t *);
} library;

/* From so many bytes on a string is copied without the lock of the VM. */
enum { LARGE = 1 << 20 };

/* What is copied neither moves nor changes meanwhile. */
void copy_bytes(void *to, const void *from, size_t len);

/* The value of a reply, which stays the caller's. Both are VALUE for rb_ensure. */
VALUE value_of_reply(VALUE reply);

void init_values(VALUE sentinel);

#pragma GCC visibility pop

#endif
