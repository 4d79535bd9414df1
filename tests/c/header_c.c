/*
 * compile only: the header as C99, C11 and C17, with every warning an error.
 */
#include <sentinel.h>
#include <sentinel.h> /* twice is as good as once */

int use(sentinel_client_t *client, int32_t type, sentinel_error_t **error);

int use(sentinel_client_t *client, int32_t type, sentinel_error_t **error)
{
    sentinel_call_t call = SENTINEL_CALL_INIT;

    call.flags = SENTINEL_CALL_RETRY_UNKNOWN | SENTINEL_CALL_NO_RETRY;
    switch (type) {
    case SENTINEL_REPLY_NIL:
        return sentinel_command(client, SENTINEL_ARGS("SET", "key", "value"), NULL, &call, NULL, error);
    case SENTINEL_ERR_CLOSED:
        return -SENTINEL_ERR_CLOSED;
    default:
        return SENTINEL_VERSION_NUMBER >= 100;
    }
}
