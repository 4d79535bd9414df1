/* What a submission gives, by value, so that nothing of Go's moves to the heap for it. */
#include <sentinel.h>

typedef struct {
    sentinel_status_t status;
    uint64_t id;
    sentinel_error_t *error;
} submitted;
