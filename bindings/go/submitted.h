/* What a call or a submission gives, by value, so that nothing of Go's moves to the heap for it. */
#include <stdbool.h>
#include <sentinel.h>

typedef struct {
    sentinel_status_t status;
    bool done; /* it has ended: nothing of it will be in the queue */
    uint64_t id;
    sentinel_reply_t *reply;
    sentinel_error_t *error;
} submitted;
