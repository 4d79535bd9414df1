/*
 * needs: nothing. The contract, item by item: every function has exactly the type that it was promised with, every
 * constant its number, every struct its layout. Compiling it is most of the test; running it shows that every function
 * is exported.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <sentinel.h>

/* The layouts are those of 64-bit machines. */
#if SIZE_MAX == UINT64_MAX
#define OFFSET(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)
#define SIZE(type, size) _Static_assert(sizeof(type) == (size), "sizeof(" #type ")")
#else
#define OFFSET(type, field, offset) _Static_assert(1, "")
#define SIZE(type, size) _Static_assert(1, "")
#endif
#define FIELD(type, field, field_type) \
    _Static_assert(_Generic(&((type *)0)->field, field_type *: 1, default: 0), #type "." #field " is no " #field_type)
#define NUMBER(name, value) _Static_assert((name) == (value), #name)

NUMBER(SENTINEL_OK, 0);
NUMBER(SENTINEL_EMPTY, 1);
NUMBER(SENTINEL_ERR_NULL_ARGUMENT, -100);
NUMBER(SENTINEL_ERR_INVALID_ARGUMENT, -101);
NUMBER(SENTINEL_ERR_UNKNOWN_OPTION, -102);
NUMBER(SENTINEL_ERR_INVALID_UTF8, -103);
NUMBER(SENTINEL_ERR_WRONG_STATE, -104);
NUMBER(SENTINEL_ERR_WOULD_DEADLOCK, -105);
NUMBER(SENTINEL_ERR_FORKED, -106);
NUMBER(SENTINEL_ERR_BUFFER_TOO_SMALL, -107);
NUMBER(SENTINEL_ERR_UNSUPPORTED_COMMAND, -108);
NUMBER(SENTINEL_ERR_PRIMARY_NOT_FOUND, -200);
NUMBER(SENTINEL_ERR_REPLICA_NOT_FOUND, -201);
NUMBER(SENTINEL_ERR_CONNECT, -300);
NUMBER(SENTINEL_ERR_CONNECTION_LOST, -301);
NUMBER(SENTINEL_ERR_TLS, -302);
NUMBER(SENTINEL_ERR_AUTH, -303);
NUMBER(SENTINEL_ERR_PROTOCOL, -304);
NUMBER(SENTINEL_ERR_TIMEOUT, -305);
NUMBER(SENTINEL_ERR_SERVER, -400);
NUMBER(SENTINEL_ERR_READONLY, -401);
NUMBER(SENTINEL_ERR_LOADING, -402);
NUMBER(SENTINEL_ERR_TRANSACTION_ABORTED, -403);
NUMBER(SENTINEL_ERR_NOT_REPLICATED, -404);
NUMBER(SENTINEL_ERR_POOL_EXHAUSTED, -500);
NUMBER(SENTINEL_ERR_QUEUE_FULL, -501);
NUMBER(SENTINEL_ERR_CANCELLED, -502);
NUMBER(SENTINEL_ERR_CLOSED, -503);
NUMBER(SENTINEL_ERR_INTERNAL, -900);
NUMBER(SENTINEL_ERR_PANIC, -901);
NUMBER(SENTINEL_REASON_NONE, 0);
NUMBER(SENTINEL_REASON_NO_SENTINEL_REACHABLE, 1);
NUMBER(SENTINEL_REASON_UNKNOWN_SERVICE, 2);
NUMBER(SENTINEL_REASON_SENTINEL_AUTH, 3);
NUMBER(SENTINEL_REASON_WRONG_ROLE, 4);
NUMBER(SENTINEL_REASON_NODE_UNREACHABLE, 5);
NUMBER(SENTINEL_REASON_NO_USABLE_REPLICA, 6);
NUMBER(SENTINEL_REASON_TOO_FEW_SENTINELS, 7);
NUMBER(SENTINEL_REASON_NO_MAJORITY, 8);
NUMBER(SENTINEL_REASON_UNCONFIRMED, 9);
NUMBER(SENTINEL_OUTCOME_NOT_SENT, 0);
NUMBER(SENTINEL_OUTCOME_REFUSED, 1);
NUMBER(SENTINEL_OUTCOME_UNKNOWN, 2);
NUMBER(SENTINEL_ROLE_PRIMARY, 1);
NUMBER(SENTINEL_ROLE_REPLICA, 2);
NUMBER(SENTINEL_ROLE_SENTINEL, 3);
NUMBER(SENTINEL_REPLY_NIL, 0);
NUMBER(SENTINEL_REPLY_STATUS, 1);
NUMBER(SENTINEL_REPLY_STRING, 2);
NUMBER(SENTINEL_REPLY_INTEGER, 3);
NUMBER(SENTINEL_REPLY_DOUBLE, 4);
NUMBER(SENTINEL_REPLY_BOOL, 5);
NUMBER(SENTINEL_REPLY_ARRAY, 6);
NUMBER(SENTINEL_REPLY_MAP, 7);
NUMBER(SENTINEL_REPLY_SET, 8);
NUMBER(SENTINEL_REPLY_VERBATIM, 9);
NUMBER(SENTINEL_REPLY_BIG_NUMBER, 10);
NUMBER(SENTINEL_REPLY_PUSH, 11);
NUMBER(SENTINEL_REPLY_ERROR, 12);
NUMBER(SENTINEL_BATCH_PIPELINE, 1);
NUMBER(SENTINEL_BATCH_TRANSACTION, 2);
NUMBER(SENTINEL_COMPLETION_CALL, 1);
NUMBER(SENTINEL_COMPLETION_MESSAGE, 2);
NUMBER(SENTINEL_COMPLETION_EVENT, 3);
NUMBER(SENTINEL_SUBSCRIBE_CHANNEL, 1);
NUMBER(SENTINEL_SUBSCRIBE_PATTERN, 2);
NUMBER(SENTINEL_SUBSCRIBE_SHARDED, 3);
NUMBER(SENTINEL_LOG_OFF, 0);
NUMBER(SENTINEL_LOG_ERROR, 1);
NUMBER(SENTINEL_LOG_WARN, 2);
NUMBER(SENTINEL_LOG_INFO, 3);
NUMBER(SENTINEL_LOG_DEBUG, 4);
NUMBER(SENTINEL_LOG_TRACE, 5);
NUMBER(SENTINEL_CALL_RETRY_UNKNOWN, 0x1u);
NUMBER(SENTINEL_CALL_NO_RETRY, 0x2u);
NUMBER(SENTINEL_EVENT_PRIMARY_CHANGED, 0x01u);
NUMBER(SENTINEL_EVENT_REPLICAS_CHANGED, 0x02u);
NUMBER(SENTINEL_EVENT_SENTINELS_CHANGED, 0x04u);
NUMBER(SENTINEL_EVENT_CONNECTION, 0x08u);
NUMBER(SENTINEL_EVENT_SUBSCRIPTION_GAP, 0x10u);
NUMBER(SENTINEL_EVENT_FAILOVER, 0x1000u);
NUMBER(SENTINEL_EVENT_WRITES_HELD, 0x2000u);

FIELD(sentinel_call_t, struct_size, uint32_t);
OFFSET(sentinel_call_t, struct_size, 0);
FIELD(sentinel_call_t, flags, uint32_t);
OFFSET(sentinel_call_t, flags, 4);
FIELD(sentinel_call_t, timeout_ms, int64_t);
OFFSET(sentinel_call_t, timeout_ms, 8);
FIELD(sentinel_call_t, replicas, uint32_t);
OFFSET(sentinel_call_t, replicas, 16);
FIELD(sentinel_call_t, reserved, uint32_t);
OFFSET(sentinel_call_t, reserved, 20);
SIZE(sentinel_call_t, 24);

FIELD(sentinel_reply_node_t, type, int32_t);
OFFSET(sentinel_reply_node_t, type, 0);
FIELD(sentinel_reply_node_t, depth, uint32_t);
OFFSET(sentinel_reply_node_t, depth, 4);
FIELD(sentinel_reply_node_t, len, size_t);
OFFSET(sentinel_reply_node_t, len, 8);
FIELD(sentinel_reply_node_t, data, const char *);
OFFSET(sentinel_reply_node_t, data, 16);
FIELD(sentinel_reply_node_t, integer, int64_t);
OFFSET(sentinel_reply_node_t, integer, 24);
FIELD(sentinel_reply_node_t, number, double);
OFFSET(sentinel_reply_node_t, number, 32);
SIZE(sentinel_reply_node_t, 40);

FIELD(sentinel_completion_t, tag, uint64_t);
OFFSET(sentinel_completion_t, tag, 0);
FIELD(sentinel_completion_t, kind, int32_t);
OFFSET(sentinel_completion_t, kind, 8);
FIELD(sentinel_completion_t, status, sentinel_status_t);
OFFSET(sentinel_completion_t, status, 12);
FIELD(sentinel_completion_t, reply, sentinel_reply_t *);
OFFSET(sentinel_completion_t, reply, 16);
FIELD(sentinel_completion_t, error, sentinel_error_t *);
OFFSET(sentinel_completion_t, error, 24);
SIZE(sentinel_completion_t, 32);

_Static_assert(SENTINEL_VERSION_NUMBER ==
                   SENTINEL_VERSION_MAJOR * 10000 + SENTINEL_VERSION_MINOR * 100 + SENTINEL_VERSION_PATCH,
               "SENTINEL_VERSION_NUMBER");

/* The handles, with their tags. */
extern struct sentinel_options_t *tag_of_sentinel_options_t;
extern sentinel_options_t *tag_of_sentinel_options_t;
extern struct sentinel_t *tag_of_sentinel_t;
extern sentinel_t *tag_of_sentinel_t;
extern struct sentinel_nodes_t *tag_of_sentinel_nodes_t;
extern sentinel_nodes_t *tag_of_sentinel_nodes_t;
extern struct sentinel_client_t *tag_of_sentinel_client_t;
extern sentinel_client_t *tag_of_sentinel_client_t;
extern struct sentinel_connection_t *tag_of_sentinel_connection_t;
extern sentinel_connection_t *tag_of_sentinel_connection_t;
extern struct sentinel_batch_t *tag_of_sentinel_batch_t;
extern sentinel_batch_t *tag_of_sentinel_batch_t;
extern struct sentinel_reply_t *tag_of_sentinel_reply_t;
extern sentinel_reply_t *tag_of_sentinel_reply_t;
extern struct sentinel_queue_t *tag_of_sentinel_queue_t;
extern sentinel_queue_t *tag_of_sentinel_queue_t;
extern struct sentinel_subscription_t *tag_of_sentinel_subscription_t;
extern sentinel_subscription_t *tag_of_sentinel_subscription_t;
extern struct sentinel_error_t *tag_of_sentinel_error_t;
extern sentinel_error_t *tag_of_sentinel_error_t;

/* Both function types, and that NULL is one of their values. */
static void done(void *user_data, sentinel_completion_t *completion)
{
    (void)user_data;
    (void)completion;
}

static void logged(void *user_data, int32_t level, const char *message, size_t len)
{
    (void)user_data;
    (void)level;
    (void)message;
    (void)len;
}

static sentinel_done_fn done_functions[] = {done, NULL};
static sentinel_log_fn log_functions[] = {logged, NULL};

static const char *(*const the_status_name)(sentinel_status_t status) = sentinel_status_name;
static const char *(*const the_status_message)(sentinel_status_t status) = sentinel_status_message;
static int32_t (*const the_status_is_connection_error)(
        sentinel_status_t status) = sentinel_status_is_connection_error;
static sentinel_status_t (*const the_error_status)(const sentinel_error_t *error) = sentinel_error_status;
static int32_t (*const the_error_reason)(const sentinel_error_t *error) = sentinel_error_reason;
static int32_t (*const the_error_outcome)(const sentinel_error_t *error) = sentinel_error_outcome;
static const char *(*const the_error_message)(const sentinel_error_t *error,
        size_t *len) = sentinel_error_message;
static const char *(*const the_error_server_code)(const sentinel_error_t *error,
        size_t *len) = sentinel_error_server_code;
static const char *(*const the_error_endpoint)(const sentinel_error_t *error,
        size_t *len) = sentinel_error_endpoint;
static size_t (*const the_error_attempts)(const sentinel_error_t *error) = sentinel_error_attempts;
static const char *(*const the_error_attempt)(const sentinel_error_t *error, size_t index,
        size_t *len) = sentinel_error_attempt;
static void (*const the_error_free)(sentinel_error_t *error) = sentinel_error_free;
static sentinel_options_t *(*const the_options_new)(void) = sentinel_options_new;
static sentinel_status_t (*const the_options_add_sentinel)(sentinel_options_t *options, const char *host,
        uint16_t port, sentinel_error_t **error) = sentinel_options_add_sentinel;
static sentinel_status_t (*const the_options_parse_url)(sentinel_options_t *options, const char *url,
        sentinel_error_t **error) = sentinel_options_parse_url;
static sentinel_status_t (*const the_options_set)(sentinel_options_t *options, const char *key,
        const char *value, sentinel_error_t **error) = sentinel_options_set;
static sentinel_status_t (*const the_options_set_int)(sentinel_options_t *options, const char *key,
        int64_t value, sentinel_error_t **error) = sentinel_options_set_int;
static sentinel_status_t (*const the_options_set_secret)(sentinel_options_t *options, const char *key,
        const void *data, size_t len, sentinel_error_t **error) = sentinel_options_set_secret;
static void (*const the_options_free)(sentinel_options_t *options) = sentinel_options_free;
static sentinel_status_t (*const the_open)(const sentinel_options_t *options, sentinel_t **out,
        sentinel_error_t **error) = sentinel_open;
static sentinel_status_t (*const the_close)(sentinel_t *sentinel, int64_t timeout_ms) = sentinel_close;
static void (*const the_free)(sentinel_t *sentinel) = sentinel_free;
static sentinel_status_t (*const the_discover_primary)(sentinel_t *sentinel, const char *service,
        int64_t timeout_ms, sentinel_nodes_t **out, sentinel_error_t **error) = sentinel_discover_primary;
static sentinel_status_t (*const the_discover_replicas)(sentinel_t *sentinel, const char *service,
        int64_t timeout_ms, sentinel_nodes_t **out, sentinel_error_t **error) = sentinel_discover_replicas;
static sentinel_status_t (*const the_discover_sentinels)(sentinel_t *sentinel, const char *service,
        int64_t timeout_ms, sentinel_nodes_t **out, sentinel_error_t **error) = sentinel_discover_sentinels;
static size_t (*const the_nodes_len)(const sentinel_nodes_t *nodes) = sentinel_nodes_len;
static const char *(*const the_nodes_host)(const sentinel_nodes_t *nodes, size_t index) = sentinel_nodes_host;
static uint16_t (*const the_nodes_port)(const sentinel_nodes_t *nodes, size_t index) = sentinel_nodes_port;
static int32_t (*const the_nodes_role)(const sentinel_nodes_t *nodes, size_t index) = sentinel_nodes_role;
static const char *(*const the_nodes_field)(const sentinel_nodes_t *nodes, size_t index,
        const char *name) = sentinel_nodes_field;
static void (*const the_nodes_free)(sentinel_nodes_t *nodes) = sentinel_nodes_free;
static sentinel_status_t (*const the_primary_for)(sentinel_t *sentinel, const char *service,
        const sentinel_options_t *overrides, sentinel_client_t **out,
        sentinel_error_t **error) = sentinel_primary_for;
static sentinel_status_t (*const the_replica_for)(sentinel_t *sentinel, const char *service,
        const sentinel_options_t *overrides, sentinel_client_t **out,
        sentinel_error_t **error) = sentinel_replica_for;
static sentinel_status_t (*const the_client_connect)(sentinel_client_t *client, int64_t timeout_ms,
        sentinel_error_t **error) = sentinel_client_connect;
static sentinel_status_t (*const the_client_node)(const sentinel_client_t *client,
        sentinel_nodes_t **out) = sentinel_client_node;
static void (*const the_client_free)(sentinel_client_t *client) = sentinel_client_free;
static sentinel_status_t (*const the_command)(sentinel_client_t *client, size_t argc, const char *const *argv,
        const size_t *argvlen, const sentinel_call_t *call, sentinel_reply_t **reply,
        sentinel_error_t **error) = sentinel_command;
static sentinel_status_t (*const the_command_packed)(sentinel_client_t *client, size_t argc,
        const size_t *lens, const void *data, size_t data_len, const sentinel_call_t *call,
        sentinel_reply_t **reply, sentinel_error_t **error) = sentinel_command_packed;
static int32_t (*const the_reply_type)(const sentinel_reply_t *reply) = sentinel_reply_type;
static const char *(*const the_reply_data)(const sentinel_reply_t *reply, size_t *len) = sentinel_reply_data;
static int64_t (*const the_reply_integer)(const sentinel_reply_t *reply) = sentinel_reply_integer;
static double (*const the_reply_double)(const sentinel_reply_t *reply) = sentinel_reply_double;
static size_t (*const the_reply_len)(const sentinel_reply_t *reply) = sentinel_reply_len;
static const sentinel_reply_t *(*const the_reply_at)(const sentinel_reply_t *reply,
        size_t index) = sentinel_reply_at;
static const sentinel_reply_t *(*const the_reply_key_at)(const sentinel_reply_t *map,
        size_t index) = sentinel_reply_key_at;
static const sentinel_reply_t *(*const the_reply_value_at)(const sentinel_reply_t *map,
        size_t index) = sentinel_reply_value_at;
static const sentinel_reply_t *(*const the_reply_get)(const sentinel_reply_t *map, const void *key,
        size_t key_len) = sentinel_reply_get;
static const sentinel_reply_node_t *(*const the_reply_nodes)(const sentinel_reply_t *reply, size_t *count,
        size_t *stride) = sentinel_reply_nodes;
static void (*const the_reply_free)(sentinel_reply_t *reply) = sentinel_reply_free;
static sentinel_batch_t *(*const the_batch_new)(int32_t kind) = sentinel_batch_new;
static sentinel_status_t (*const the_batch_add)(sentinel_batch_t *batch, size_t argc, const char *const *argv,
        const size_t *argvlen) = sentinel_batch_add;
static sentinel_status_t (*const the_batch_add_packed)(sentinel_batch_t *batch, size_t argc,
        const size_t *lens, const void *data, size_t data_len) = sentinel_batch_add_packed;
static size_t (*const the_batch_len)(const sentinel_batch_t *batch) = sentinel_batch_len;
static void (*const the_batch_clear)(sentinel_batch_t *batch) = sentinel_batch_clear;
static void (*const the_batch_free)(sentinel_batch_t *batch) = sentinel_batch_free;
static sentinel_status_t (*const the_batch_run)(sentinel_client_t *client, const sentinel_batch_t *batch,
        const sentinel_call_t *call, sentinel_reply_t **reply, sentinel_error_t **error) = sentinel_batch_run;
static sentinel_status_t (*const the_client_acquire)(sentinel_client_t *client, int64_t timeout_ms,
        sentinel_connection_t **out, sentinel_error_t **error) = sentinel_client_acquire;
static sentinel_status_t (*const the_connection_command)(sentinel_connection_t *connection, size_t argc,
        const char *const *argv, const size_t *argvlen, const sentinel_call_t *call, sentinel_reply_t **reply,
        sentinel_error_t **error) = sentinel_connection_command;
static void (*const the_connection_release)(sentinel_connection_t *connection) = sentinel_connection_release;
static sentinel_status_t (*const the_submit)(sentinel_client_t *client, size_t argc, const char *const *argv,
        const size_t *argvlen, const sentinel_call_t *call, sentinel_done_fn done, void *user_data,
        uint64_t *call_id, sentinel_error_t **error) = sentinel_submit;
static sentinel_status_t (*const the_submit_queued)(sentinel_client_t *client, size_t argc,
        const size_t *lens, const void *data, size_t data_len, const sentinel_call_t *call,
        sentinel_queue_t *queue, uint64_t tag, uint64_t *call_id,
        sentinel_error_t **error) = sentinel_submit_queued;
static sentinel_status_t (*const the_try_command)(sentinel_client_t *client, size_t argc,
        const size_t *lens, const void *data, size_t data_len, const sentinel_call_t *call, int64_t wait_ms,
        sentinel_queue_t *queue, uint64_t tag, uint64_t *call_id, sentinel_reply_t **reply,
        sentinel_error_t **error) = sentinel_try_command;
static sentinel_status_t (*const the_submit_batch)(sentinel_client_t *client, const sentinel_batch_t *batch,
        const sentinel_call_t *call, sentinel_queue_t *queue, uint64_t tag, uint64_t *call_id,
        sentinel_error_t **error) = sentinel_submit_batch;
static sentinel_status_t (*const the_cancel)(sentinel_client_t *client, uint64_t call_id) = sentinel_cancel;
static sentinel_status_t (*const the_queue_new)(sentinel_t *sentinel, size_t capacity, sentinel_queue_t **out,
        sentinel_error_t **error) = sentinel_queue_new;
static int (*const the_queue_fd)(const sentinel_queue_t *queue) = sentinel_queue_fd;
static sentinel_status_t (*const the_queue_poll)(sentinel_queue_t *queue, sentinel_completion_t *entries,
        size_t entry_size, size_t max_entries, int64_t timeout_ms, size_t *count) = sentinel_queue_poll;
static sentinel_status_t (*const the_queue_wake)(sentinel_queue_t *queue) = sentinel_queue_wake;
static void (*const the_queue_free)(sentinel_queue_t *queue) = sentinel_queue_free;
static sentinel_status_t (*const the_subscription_new)(sentinel_client_t *client, sentinel_queue_t *queue,
        uint64_t tag, sentinel_subscription_t **out, sentinel_error_t **error) = sentinel_subscription_new;
static sentinel_status_t (*const the_subscription_add)(sentinel_subscription_t *subscription, int32_t kind,
        const void *channel, size_t len, sentinel_error_t **error) = sentinel_subscription_add;
static sentinel_status_t (*const the_subscription_remove)(sentinel_subscription_t *subscription, int32_t kind,
        const void *channel, size_t len, sentinel_error_t **error) = sentinel_subscription_remove;
static void (*const the_subscription_free)(
        sentinel_subscription_t *subscription) = sentinel_subscription_free;
static sentinel_status_t (*const the_watch_events)(sentinel_t *sentinel, uint32_t mask,
        sentinel_queue_t *queue, uint64_t tag, sentinel_error_t **error) = sentinel_watch_events;
static sentinel_status_t (*const the_options_set_log)(sentinel_options_t *options, int32_t max_level,
        sentinel_log_fn log, void *user_data) = sentinel_options_set_log;
static sentinel_status_t (*const the_metric)(const sentinel_t *sentinel, const char *name,
        int64_t *value) = sentinel_metric;
static sentinel_status_t (*const the_metrics_text)(const sentinel_t *sentinel, char *buffer, size_t capacity,
        size_t *len) = sentinel_metrics_text;
static sentinel_status_t (*const the_describe)(const sentinel_t *sentinel, char *buffer, size_t capacity,
        size_t *len) = sentinel_describe;
static const char *(*const the_version)(void) = sentinel_version;
static uint32_t (*const the_version_number)(void) = sentinel_version_number;

/* A pointer to a function of any type, to be looked at only. */
typedef void (*any_fn)(void);

int main(void)
{
    const any_fn all[] = {
        (any_fn)the_status_name,
        (any_fn)the_status_message,
        (any_fn)the_status_is_connection_error,
        (any_fn)the_error_status,
        (any_fn)the_error_reason,
        (any_fn)the_error_outcome,
        (any_fn)the_error_message,
        (any_fn)the_error_server_code,
        (any_fn)the_error_endpoint,
        (any_fn)the_error_attempts,
        (any_fn)the_error_attempt,
        (any_fn)the_error_free,
        (any_fn)the_options_new,
        (any_fn)the_options_add_sentinel,
        (any_fn)the_options_parse_url,
        (any_fn)the_options_set,
        (any_fn)the_options_set_int,
        (any_fn)the_options_set_secret,
        (any_fn)the_options_free,
        (any_fn)the_open,
        (any_fn)the_close,
        (any_fn)the_free,
        (any_fn)the_discover_primary,
        (any_fn)the_discover_replicas,
        (any_fn)the_discover_sentinels,
        (any_fn)the_nodes_len,
        (any_fn)the_nodes_host,
        (any_fn)the_nodes_port,
        (any_fn)the_nodes_role,
        (any_fn)the_nodes_field,
        (any_fn)the_nodes_free,
        (any_fn)the_primary_for,
        (any_fn)the_replica_for,
        (any_fn)the_client_connect,
        (any_fn)the_client_node,
        (any_fn)the_client_free,
        (any_fn)the_command,
        (any_fn)the_command_packed,
        (any_fn)the_reply_type,
        (any_fn)the_reply_data,
        (any_fn)the_reply_integer,
        (any_fn)the_reply_double,
        (any_fn)the_reply_len,
        (any_fn)the_reply_at,
        (any_fn)the_reply_key_at,
        (any_fn)the_reply_value_at,
        (any_fn)the_reply_get,
        (any_fn)the_reply_nodes,
        (any_fn)the_reply_free,
        (any_fn)the_batch_new,
        (any_fn)the_batch_add,
        (any_fn)the_batch_add_packed,
        (any_fn)the_batch_len,
        (any_fn)the_batch_clear,
        (any_fn)the_batch_free,
        (any_fn)the_batch_run,
        (any_fn)the_client_acquire,
        (any_fn)the_connection_command,
        (any_fn)the_connection_release,
        (any_fn)the_submit,
        (any_fn)the_submit_queued,
        (any_fn)the_try_command,
        (any_fn)the_submit_batch,
        (any_fn)the_cancel,
        (any_fn)the_queue_new,
        (any_fn)the_queue_fd,
        (any_fn)the_queue_poll,
        (any_fn)the_queue_wake,
        (any_fn)the_queue_free,
        (any_fn)the_subscription_new,
        (any_fn)the_subscription_add,
        (any_fn)the_subscription_remove,
        (any_fn)the_subscription_free,
        (any_fn)the_watch_events,
        (any_fn)the_options_set_log,
        (any_fn)the_metric,
        (any_fn)the_metrics_text,
        (any_fn)the_describe,
        (any_fn)the_version,
        (any_fn)the_version_number,
    };
    const sentinel_call_t call = SENTINEL_CALL_INIT;
    size_t index;

    for (index = 0; index < sizeof all / sizeof all[0]; index++) {
        if (all[index] == NULL) {
            fprintf(stderr, "contract.c: function %zu is missing\n", index);
            return 1;
        }
    }
    return call.struct_size != sizeof call || done_functions[1] != NULL || log_functions[1] != NULL;
}
