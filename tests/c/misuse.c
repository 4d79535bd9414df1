/*
 * needs: nothing. Every mistake a caller can make without a server: NULL everywhere, numbers that are no enumeration,
 * lengths that lie, options and URLs that are wrong. Each gets a status and a message that names the culprit, none
 * crashes, and outputs are touched only as promised.
 */
#include "check.h"

#define NULL_ARGUMENT SENTINEL_ERR_NULL_ARGUMENT
#define INVALID SENTINEL_ERR_INVALID_ARGUMENT

static void frees_of_null_do_nothing(void)
{
    sentinel_error_free(NULL);
    sentinel_options_free(NULL);
    sentinel_free(NULL);
    sentinel_nodes_free(NULL);
    sentinel_client_free(NULL);
    sentinel_reply_free(NULL);
    sentinel_batch_free(NULL);
    sentinel_batch_clear(NULL);
    sentinel_script_free(NULL);
    sentinel_scan_free(NULL);
    sentinel_scan_restart(NULL);
    sentinel_connection_release(NULL);
    sentinel_queue_free(NULL);
    sentinel_subscription_free(NULL);
}

static void accessors_of_null_answer_nothing(void)
{
    size_t len = 9, stride = 0;

    CHECK_EQUAL(NULL_ARGUMENT, sentinel_error_status(NULL));
    CHECK_EQUAL(SENTINEL_REASON_NONE, sentinel_error_reason(NULL));
    CHECK_EQUAL(SENTINEL_OUTCOME_UNKNOWN, sentinel_error_outcome(NULL));
    CHECK(sentinel_error_message(NULL, &len) == NULL && len == 0);
    len = 9;
    CHECK(sentinel_error_server_code(NULL, &len) == NULL && len == 0);
    len = 9;
    CHECK(sentinel_error_endpoint(NULL, &len) == NULL && len == 0);
    CHECK_EQUAL(0, sentinel_error_attempts(NULL));
    len = 9;
    CHECK(sentinel_error_attempt(NULL, 0, &len) == NULL && len == 0);
    CHECK(sentinel_error_message(NULL, NULL) == NULL);

    CHECK_EQUAL(0, sentinel_nodes_len(NULL));
    CHECK(sentinel_nodes_host(NULL, 0) == NULL);
    CHECK_EQUAL(0, sentinel_nodes_port(NULL, 0));
    CHECK_EQUAL(0, sentinel_nodes_role(NULL, 0));
    CHECK(sentinel_nodes_field(NULL, 0, "flags") == NULL);
    CHECK(sentinel_nodes_field(NULL, 0, NULL) == NULL);

    CHECK_EQUAL(SENTINEL_REPLY_NIL, sentinel_reply_type(NULL));
    len = 9;
    CHECK(sentinel_reply_data(NULL, &len) == NULL && len == 0);
    CHECK_EQUAL(0, sentinel_reply_integer(NULL));
    CHECK(sentinel_reply_double(NULL) == 0.0);
    CHECK_EQUAL(0, sentinel_reply_len(NULL));
    CHECK(sentinel_reply_at(NULL, 0) == NULL);
    CHECK(sentinel_reply_key_at(NULL, 0) == NULL);
    CHECK(sentinel_reply_value_at(NULL, 0) == NULL);
    CHECK(sentinel_reply_get(NULL, "key", 3) == NULL);
    CHECK(sentinel_reply_verbatim_format(NULL) == NULL);
    len = 9;
    CHECK(sentinel_reply_nodes(NULL, &len, &stride) == NULL && len == 0 && stride >= sizeof(sentinel_reply_node_t));

    CHECK_EQUAL(0, sentinel_batch_len(NULL));
    CHECK(sentinel_batch_refusal(NULL) == NULL);
    CHECK(sentinel_script_sha1(NULL) == NULL);
    CHECK(sentinel_script_new("return 1", 8, 0x8u) == NULL);
    CHECK(sentinel_script_new(NULL, 8, 0) == NULL);
    CHECK_EQUAL(-1, sentinel_queue_fd(NULL));
}

static void null_handles_are_named(void)
{
    sentinel_error_t *error = NULL;
    const char *const ping[] = {"PING"};
    const size_t lens[] = {4};

    CHECK_FAILS(NULL_ARGUMENT, "options", sentinel_options_add_sentinel(NULL, "host", 1, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "options", sentinel_options_parse_url(NULL, "x", &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "options", sentinel_options_set(NULL, "a", "b", &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "options", sentinel_options_set_int(NULL, "a", 1, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "options", sentinel_options_set_secret(NULL, "a", "b", 1, &error), &error);
    CHECK_STATUS(NULL_ARGUMENT, sentinel_options_set_log(NULL, SENTINEL_LOG_INFO, NULL, NULL));
    CHECK_FAILS(NULL_ARGUMENT, "options", sentinel_open(NULL, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "sentinel", sentinel_update_sentinels(NULL, NULL, &error), &error);
    CHECK_STATUS(NULL_ARGUMENT, sentinel_close(NULL, 0));
    CHECK_FAILS(NULL_ARGUMENT, "sentinel", sentinel_discover_primary(NULL, "s", 0, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "sentinel", sentinel_discover_replicas(NULL, "s", 0, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "sentinel", sentinel_discover_sentinels(NULL, "s", 0, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "sentinel", sentinel_primary_for(NULL, "s", NULL, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "sentinel", sentinel_replica_for(NULL, "s", NULL, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "client", sentinel_client_connect(NULL, 0, &error), &error);
    CHECK_STATUS(NULL_ARGUMENT, sentinel_client_node(NULL, NULL));
    CHECK_FAILS(NULL_ARGUMENT, "client", sentinel_command(NULL, 1, ping, NULL, NULL, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "client", sentinel_command_packed(NULL, 1, lens, "PING", 4, NULL, NULL, &error), &error);
    CHECK_STATUS(NULL_ARGUMENT, sentinel_batch_add(NULL, 1, ping, NULL));
    CHECK_STATUS(NULL_ARGUMENT, sentinel_batch_add_packed(NULL, 1, lens, "PING", 4));
    CHECK_FAILS(NULL_ARGUMENT, "client", sentinel_batch_run(NULL, NULL, NULL, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "client", sentinel_script_run(NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "client", sentinel_scan_new(NULL, 1, ping, NULL, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "scan", sentinel_scan_next(NULL, NULL, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "client", sentinel_client_acquire(NULL, 0, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "connection", sentinel_connection_command(NULL, 1, ping, NULL, NULL, NULL, &error),
                &error);
    CHECK_FAILS(NULL_ARGUMENT, "client", sentinel_submit(NULL, 1, ping, NULL, NULL, NULL, NULL, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "client",
                sentinel_submit_queued(NULL, 1, lens, "PING", 4, NULL, NULL, 0, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "client",
                sentinel_try_command(NULL, 1, lens, "PING", 4, NULL, 5, NULL, 0, NULL, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "client", sentinel_submit_batch(NULL, NULL, NULL, NULL, 0, NULL, &error), &error);
    CHECK_STATUS(NULL_ARGUMENT, sentinel_cancel(NULL, 0));
    CHECK_STATUS(NULL_ARGUMENT, sentinel_client_close(NULL));
    CHECK_STATUS(NULL_ARGUMENT, sentinel_connection_cancel(NULL));
    CHECK_FAILS(NULL_ARGUMENT, "sentinel", sentinel_queue_new(NULL, 1, NULL, &error), &error);
    CHECK_STATUS(NULL_ARGUMENT, sentinel_queue_poll(NULL, NULL, 0, 0, 0, NULL));
    CHECK_STATUS(NULL_ARGUMENT, sentinel_queue_wake(NULL));
    CHECK_FAILS(NULL_ARGUMENT, "client", sentinel_subscription_new(NULL, NULL, 0, NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "subscription", sentinel_subscription_add(NULL, 1, "c", 1, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "subscription", sentinel_subscription_remove(NULL, 1, "c", 1, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "sentinel", sentinel_watch_events(NULL, 0, NULL, 0, &error), &error);
    CHECK_STATUS(NULL_ARGUMENT, sentinel_metric(NULL, "x", NULL));
    CHECK_STATUS(NULL_ARGUMENT, sentinel_metrics_text(NULL, NULL, 0, NULL));
    CHECK_STATUS(NULL_ARGUMENT, sentinel_describe(NULL, NULL, 0, NULL));
}

static void options_are_checked(void)
{
    sentinel_options_t *options = sentinel_options_new();
    sentinel_error_t *error = NULL;
    sentinel_t *sentinel = NULL;
    size_t len;
    const char *text;

    /* No Sentinel yet. */
    CHECK_STATUS(INVALID, sentinel_open(options, &sentinel, NULL));
    CHECK(sentinel == NULL);

    CHECK_FAILS(NULL_ARGUMENT, "host", sentinel_options_add_sentinel(options, NULL, 26379, &error), &error);
    CHECK_FAILS(INVALID, "host", sentinel_options_add_sentinel(options, "", 26379, &error), &error);
    CHECK_FAILS(INVALID, "port", sentinel_options_add_sentinel(options, "localhost", 0, &error), &error);
    CHECK_FAILS(SENTINEL_ERR_INVALID_UTF8, "host", sentinel_options_add_sentinel(options, "\xff", 1, &error), &error);

    CHECK_FAILS(NULL_ARGUMENT, "key", sentinel_options_set(options, NULL, "1", &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "value", sentinel_options_set(options, "timeout_ms", NULL, &error), &error);
    CHECK_FAILS(SENTINEL_ERR_UNKNOWN_OPTION, "time_out", sentinel_options_set(options, "time_out", "1", &error),
                &error);
    CHECK_FAILS(SENTINEL_ERR_UNKNOWN_OPTION, "Timeout_ms", sentinel_options_set_int(options, "Timeout_ms", 1, &error),
                &error);
    CHECK_FAILS(INVALID, "timeout_ms", sentinel_options_set(options, "timeout_ms", "soon", &error), &error);
    CHECK_FAILS(INVALID, "timeout_ms", sentinel_options_set_int(options, "timeout_ms", -7, &error), &error);
    CHECK_FAILS(INVALID, "protocol", sentinel_options_set_int(options, "protocol", 4, &error), &error);
    CHECK_FAILS(INVALID, "replica.select", sentinel_options_set(options, "replica.select", "nearest", &error), &error);
    CHECK_FAILS(SENTINEL_ERR_INVALID_UTF8, "username: value",
                sentinel_options_set(options, "username", "\xc3(", &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "username: value", sentinel_options_set(options, "username", NULL, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "password: data",
                sentinel_options_set_secret(options, "password", NULL, 3, &error), &error);
    CHECK_OK(sentinel_options_set_secret(options, "password", NULL, 0, &error), &error);
    CHECK_OK(sentinel_options_set_secret(options, "password", "hunter2\0x", 9, &error), &error);
    CHECK_OK(sentinel_options_set_int(options, "timeout_ms", 250, &error), &error);
    CHECK_OK(sentinel_options_set(options, "sentinel.timeout_ms", "50", &error), &error);

    CHECK_STATUS(INVALID, sentinel_options_set_log(options, 6, NULL, NULL));
    CHECK_STATUS(INVALID, sentinel_options_set_log(options, -1, NULL, NULL));
    CHECK_STATUS(SENTINEL_OK, sentinel_options_set_log(options, SENTINEL_LOG_TRACE, NULL, NULL));

    /* URLs: the message says what is wrong and never repeats a password. */
    CHECK_FAILS(NULL_ARGUMENT, "url", sentinel_options_parse_url(options, NULL, &error), &error);
    CHECK_FAILS(INVALID, "url", sentinel_options_parse_url(options, "", &error), &error);
    CHECK_STATUS(INVALID, sentinel_options_parse_url(options, "redis://localhost/0", NULL));
    CHECK_STATUS(INVALID, sentinel_options_parse_url(options, "redis+sentinel://", NULL));
    CHECK_STATUS(SENTINEL_ERR_UNKNOWN_OPTION,
                 sentinel_options_parse_url(options, "redis+sentinel://h/s?colour=blue", NULL));
    CHECK_EQUAL(INVALID, sentinel_options_parse_url(options, "redis+sentinel://u:hunter2@h:99999/s", &error));
    text = sentinel_error_message(error, &len);
    CHECK(text != NULL && strlen(text) == len && strstr(text, "hunter2") == NULL);
    CHECK_EQUAL(SENTINEL_OUTCOME_NOT_SENT, sentinel_error_outcome(error));
    CHECK_EQUAL(SENTINEL_REASON_NONE, sentinel_error_reason(error));
    CHECK_EQUAL(0, sentinel_error_attempts(error));
    len = 9;
    CHECK(sentinel_error_attempt(error, 0, &len) == NULL && len == 0);
    len = 9;
    CHECK(sentinel_error_server_code(error, &len) == NULL && len == 0);
    sentinel_error_free(error);

    /* The error object is not asked for: the status is enough. */
    CHECK_STATUS(SENTINEL_ERR_UNKNOWN_OPTION, sentinel_options_set(options, "nonsense", "1", NULL));
    sentinel_options_free(options);
}

/* A deployment whose Sentinel does not exist: opening it does no I/O. */
static sentinel_t *open_nowhere(void)
{
    sentinel_options_t *options = sentinel_options_new();
    sentinel_error_t *error = NULL;
    sentinel_t *sentinel = NULL;

    CHECK_OK(sentinel_options_parse_url(options, "redis+sentinel://127.0.0.1:1/service?timeout_ms=2000", &error),
             &error);
    CHECK_OK(sentinel_open(options, &sentinel, &error), &error);
    /* The only output is not wanted: the deployment is closed again. */
    CHECK_OK(sentinel_open(options, NULL, &error), &error);
    CHECK_OK(sentinel_update_sentinels(sentinel, options, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "options", sentinel_update_sentinels(sentinel, NULL, &error), &error);
    sentinel_options_free(options);
    options = sentinel_options_new();
    CHECK_FAILS(INVALID, "options", sentinel_update_sentinels(sentinel, options, &error), &error);
    sentinel_options_free(options);
    return sentinel;
}

static void commands_are_checked(sentinel_client_t *client)
{
    sentinel_error_t *error = NULL;
    sentinel_reply_t *untouched = (sentinel_reply_t *)(void *)&error, *reply = untouched;
    const char *const argv[] = {"GET", NULL};
    const size_t lens[] = {3, 4}, huge[] = {SIZE_MAX, 4};
    sentinel_call_t call = SENTINEL_CALL_INIT, initial = SENTINEL_CALL_INIT;

    CHECK_FAILS(INVALID, "argc", sentinel_command(client, 0, argv, NULL, NULL, &reply, &error), &error);
    CHECK_FAILS(INVALID, "argc", sentinel_command(client, SIZE_MAX, argv, NULL, NULL, &reply, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "argv", sentinel_command(client, 1, NULL, NULL, NULL, &reply, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "argv[1]", sentinel_command(client, 2, argv, NULL, NULL, &reply, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "argv[1]", sentinel_command(client, 2, argv, lens, NULL, &reply, &error), &error);
    CHECK_FAILS(INVALID, "argv[0]", sentinel_command(client, 2, argv, huge, NULL, &reply, &error), &error);

    CHECK_FAILS(INVALID, "argc", sentinel_command_packed(client, 0, lens, "", 0, NULL, &reply, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "lens", sentinel_command_packed(client, 1, NULL, "GET", 3, NULL, &reply, &error),
                &error);
    CHECK_FAILS(NULL_ARGUMENT, "data", sentinel_command_packed(client, 2, lens, NULL, 7, NULL, &reply, &error), &error);
    CHECK_FAILS(INVALID, "data_len", sentinel_command_packed(client, 2, lens, "GETkey", 6, NULL, &reply, &error),
                &error);
    CHECK_FAILS(INVALID, "data_len", sentinel_command_packed(client, 2, huge, "GETkey", 3, NULL, &reply, &error),
                &error);

    call.struct_size = 0;
    CHECK_FAILS(INVALID, "call.struct_size", sentinel_command(client, 1, argv, NULL, &call, &reply, &error), &error);
    call.struct_size = sizeof call - 1;
    CHECK_FAILS(INVALID, "call.struct_size", sentinel_command(client, 1, argv, NULL, &call, &reply, &error), &error);
    call = initial;
    call.flags = 0x80000000u;
    CHECK_FAILS(INVALID, "call.flags", sentinel_command(client, 1, argv, NULL, &call, &reply, &error), &error);
    call = initial;
    call.reserved = 1;
    CHECK_FAILS(INVALID, "call.reserved", sentinel_command(client, 1, argv, NULL, &call, &reply, &error), &error);
    call = initial;
    call.timeout_ms = -2;
    CHECK_FAILS(INVALID, "timeout_ms", sentinel_command(client, 1, argv, NULL, &call, &reply, &error), &error);
    CHECK(reply == untouched);
}

static void batches_are_checked(sentinel_client_t *client)
{
    sentinel_error_t *error = NULL;
    sentinel_reply_t *reply = NULL;
    sentinel_batch_t *batch = sentinel_batch_new(SENTINEL_BATCH_PIPELINE);
    const char *const argv[] = {"GET", NULL};
    const size_t lens[] = {3, 4};

    CHECK(sentinel_batch_new(0) == NULL);
    CHECK(sentinel_batch_new(3) == NULL);
    CHECK(sentinel_batch_new(-1) == NULL);
    CHECK(batch != NULL);
    CHECK_STATUS(INVALID, sentinel_batch_add(batch, 0, argv, NULL));
    CHECK_STATUS(NULL_ARGUMENT, sentinel_batch_add(batch, 2, argv, NULL));
    CHECK_STATUS(INVALID, sentinel_batch_add_packed(batch, 2, lens, "GET", 3));
    CHECK_EQUAL(0, sentinel_batch_len(batch));
    CHECK_STATUS(SENTINEL_OK, sentinel_batch_add(batch, SENTINEL_ARGS("GET", "key"), NULL));
    CHECK_STATUS(SENTINEL_OK, sentinel_batch_add_packed(batch, 2, lens, "GETkeys", 7));
    CHECK_EQUAL(2, sentinel_batch_len(batch));
    sentinel_batch_clear(batch);
    CHECK_EQUAL(0, sentinel_batch_len(batch));
    CHECK_FAILS(NULL_ARGUMENT, "batch", sentinel_batch_run(client, NULL, NULL, &reply, &error), &error);
    CHECK(reply == NULL);
    sentinel_batch_free(batch);
}

static void handles_without_a_server(void)
{
    sentinel_t *sentinel = open_nowhere();
    sentinel_options_t *options = sentinel_options_new();
    sentinel_error_t *error = NULL;
    sentinel_client_t *client = NULL;
    sentinel_nodes_t *nodes = NULL;

    CHECK_FAILS(INVALID, "timeout_ms", sentinel_discover_primary(sentinel, NULL, -2, &nodes, &error), &error);
    CHECK_FAILS(INVALID, "timeout_ms", sentinel_discover_replicas(sentinel, NULL, -2, &nodes, &error), &error);
    CHECK_FAILS(INVALID, "timeout_ms", sentinel_discover_sentinels(sentinel, NULL, -2, &nodes, &error), &error);
    CHECK_FAILS(SENTINEL_ERR_INVALID_UTF8, "service", sentinel_primary_for(sentinel, "\xff", NULL, &client, &error),
                &error);
    CHECK_STATUS(INVALID, sentinel_close(sentinel, -2));
    CHECK(nodes == NULL && client == NULL);

    /* What is the deployment's alone cannot be overridden. */
    CHECK_OK(sentinel_options_set_int(options, "sentinel.learn", 0, &error), &error);
    CHECK_FAILS(INVALID, "sentinel.learn", sentinel_primary_for(sentinel, NULL, options, &client, &error), &error);
    sentinel_options_free(options);

    CHECK_OK(sentinel_primary_for(sentinel, NULL, NULL, &client, &error), &error);
    CHECK_OK(sentinel_replica_for(sentinel, "other", NULL, NULL, &error), &error);
    CHECK_FAILS(INVALID, "timeout_ms", sentinel_client_connect(client, -2, &error), &error);
    CHECK_FAILS(INVALID, "timeout_ms", sentinel_client_acquire(client, -2, NULL, &error), &error);
    commands_are_checked(client);
    batches_are_checked(client);

    /* No Sentinel there: both words for it, and a connection error. */
    CHECK_EQUAL(SENTINEL_ERR_PRIMARY_NOT_FOUND, sentinel_client_connect(client, 1000, &error));
    CHECK_EQUAL(SENTINEL_REASON_NO_SENTINEL_REACHABLE, sentinel_error_reason(error));
    CHECK_EQUAL(SENTINEL_OUTCOME_NOT_SENT, sentinel_error_outcome(error));
    CHECK(sentinel_error_attempts(error) >= 1);
    CHECK(strstr(sentinel_error_attempt(error, 0, NULL), "127.0.0.1:1") != NULL);
    CHECK_EQUAL(1, sentinel_status_is_connection_error(sentinel_error_status(error)));
    sentinel_error_free(error);

    CHECK_STATUS(SENTINEL_OK, sentinel_close(sentinel, 10000));
    error = NULL;
    CHECK_FAILS(SENTINEL_ERR_CLOSED, NULL, sentinel_client_connect(client, 300, &error), &error);
    sentinel_free(sentinel);
    sentinel_client_free(client);
}

static void done(void *user_data, sentinel_completion_t *completion)
{
    (void)user_data;
    (void)completion;
    CHECK(!"a callback of a call that was not accepted");
}

static void submissions_are_checked(void)
{
    sentinel_t *sentinel = open_nowhere();
    sentinel_client_t *client = NULL;
    sentinel_error_t *error = NULL;
    sentinel_queue_t *queue = NULL;
    const char *const argv[] = {"PING"};
    const size_t lens[] = {4};
    sentinel_completion_t entry;
    sentinel_reply_t *reply = NULL;
    uint64_t id = 0;
    char text[8];

    CHECK_OK(sentinel_primary_for(sentinel, NULL, NULL, &client, &error), &error);
    CHECK_FAILS(INVALID, "argc", sentinel_submit(client, 0, argv, NULL, NULL, done, NULL, &id, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "done", sentinel_submit(client, 1, argv, NULL, NULL, NULL, NULL, &id, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "queue",
                sentinel_submit_queued(client, 1, lens, "PING", 4, NULL, NULL, 0, &id, &error), &error);
    CHECK_FAILS(INVALID, "capacity", sentinel_queue_new(sentinel, 0, &queue, &error), &error);
    CHECK_FAILS(INVALID, "capacity", sentinel_queue_new(sentinel, SIZE_MAX, &queue, &error), &error);
    CHECK(queue == NULL);
    CHECK_EQUAL(-1, sentinel_queue_fd(NULL));
    CHECK_OK(sentinel_queue_new(sentinel, 1, &queue, &error), &error);
    CHECK_STATUS(NULL_ARGUMENT, sentinel_queue_poll(queue, NULL, sizeof entry, 1, 0, NULL));
    CHECK_STATUS(INVALID, sentinel_queue_poll(queue, &entry, sizeof entry - 1, 1, 0, NULL));
    CHECK_STATUS(INVALID, sentinel_queue_poll(queue, &entry, sizeof entry, 1, -2, NULL));
    CHECK_STATUS(SENTINEL_EMPTY, sentinel_queue_poll(queue, NULL, sizeof entry, 0, 0, NULL));
    CHECK_FAILS(INVALID, "data_len", sentinel_submit_queued(client, 1, lens, "PING", 3, NULL, queue, 0, &id, &error),
                &error);
    CHECK_FAILS(INVALID, "data_len",
                sentinel_try_command(client, 1, lens, "PING", 3, NULL, 5, queue, 0, &id, &reply, &error), &error);
    CHECK_FAILS(INVALID, "wait_ms",
                sentinel_try_command(client, 1, lens, "PING", 4, NULL, -1, queue, 0, &id, &reply, &error), &error);
    CHECK_FAILS(NULL_ARGUMENT, "queue",
                sentinel_try_command(client, 1, lens, "PING", 4, NULL, 5, NULL, 0, &id, &reply, &error), &error);
    CHECK_FAILS(INVALID, "argc", sentinel_try_command(client, 0, lens, "PING", 4, NULL, 5, queue, 0, &id, &reply, &error),
                &error);
    CHECK(reply == NULL);
    CHECK_FAILS(NULL_ARGUMENT, "batch", sentinel_submit_batch(client, NULL, NULL, queue, 0, &id, &error), &error);
    CHECK_STATUS(INVALID, sentinel_cancel(client, 1));
    CHECK(id == 0);
    sentinel_queue_free(queue);
    CHECK_FAILS(INVALID, "mask", sentinel_watch_events(sentinel, 0x20u, NULL, 0, &error), &error);
    CHECK_STATUS(NULL_ARGUMENT, sentinel_metric(sentinel, NULL, NULL));
    CHECK_STATUS(INVALID, sentinel_metric(sentinel, "no_such_metric", NULL));
    CHECK_STATUS(NULL_ARGUMENT, sentinel_describe(sentinel, NULL, 1, NULL));
    CHECK_STATUS(SENTINEL_ERR_BUFFER_TOO_SMALL, sentinel_metrics_text(sentinel, text, sizeof text, NULL));
    CHECK_STATUS(SENTINEL_ERR_BUFFER_TOO_SMALL, sentinel_describe(sentinel, text, sizeof text, NULL));
    sentinel_client_free(client);
    sentinel_free(sentinel);
}

static void statuses_have_names(void)
{
    CHECK(strcmp(sentinel_status_name(SENTINEL_OK), "OK") == 0);
    CHECK(strcmp(sentinel_status_name(SENTINEL_ERR_PRIMARY_NOT_FOUND), "PRIMARY_NOT_FOUND") == 0);
    CHECK(strcmp(sentinel_status_name(-12345), "UNKNOWN") == 0);
    CHECK(strlen(sentinel_status_message(SENTINEL_ERR_TLS)) > 0);
    CHECK(strlen(sentinel_status_message(12345)) > 0);
    CHECK_EQUAL(0, sentinel_status_is_connection_error(SENTINEL_OK));
    CHECK_EQUAL(0, sentinel_status_is_connection_error(SENTINEL_ERR_READONLY));
    CHECK_EQUAL(1, sentinel_status_is_connection_error(SENTINEL_ERR_REPLICA_NOT_FOUND));
    CHECK_EQUAL(1, sentinel_status_is_connection_error(SENTINEL_ERR_TIMEOUT));
    CHECK_EQUAL(SENTINEL_VERSION_NUMBER, sentinel_version_number());
    CHECK(sentinel_version()[0] >= '0' && sentinel_version()[0] <= '9');
}

int main(void)
{
    frees_of_null_do_nothing();
    accessors_of_null_answer_nothing();
    null_handles_are_named();
    options_are_checked();
    handles_without_a_server();
    submissions_are_checked();
    statuses_have_names();
    return 0;
}
