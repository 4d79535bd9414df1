/*
 * needs: topology. Called with SERVICE HOST:PORT... Commands as C passes them: binary values, both ways to hand over
 * arguments, large values, error replies, refused commands, batches, and a connection of one's own.
 */
#include "live.h"

#define MIB ((size_t)1024 * 1024)

static void binary_values_come_back(sentinel_client_t *client)
{
    static const char key[] = "commands:\0key", value[] = "\0\r\n$-1\r\n\xff\xfe";
    const char *set[] = {"SET", key, value}, *get[] = {"GET", key};
    const size_t set_lens[] = {3, sizeof key - 1, sizeof value - 1}, get_lens[] = {3, sizeof key - 1};
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;

    CHECK_OK(sentinel_command(client, 3, set, set_lens, NULL, &reply, &error), &error);
    CHECK_EQUAL(SENTINEL_REPLY_STATUS, sentinel_reply_type(reply));
    CHECK_TEXT("OK", reply);
    sentinel_reply_free(reply);
    CHECK_OK(sentinel_command(client, 2, get, get_lens, NULL, &reply, &error), &error);
    CHECK_EQUAL(SENTINEL_REPLY_STRING, sentinel_reply_type(reply));
    CHECK_BYTES(value, sizeof value - 1, reply);
    sentinel_reply_free(reply);

    /* An empty value is not nil, whether its pointer is NULL or not. */
    {
        const char *empty[] = {"SET", "commands:empty", NULL};
        const size_t lens[] = {3, 14, 0};

        CHECK_OK(sentinel_command(client, 3, empty, lens, NULL, NULL, &error), &error);
        reply = RUN(client, "GET", "commands:empty");
        CHECK_EQUAL(SENTINEL_REPLY_STRING, sentinel_reply_type(reply));
        CHECK_BYTES("", 0, reply);
        sentinel_reply_free(reply);
    }
    reply = RUN(client, "GET", "commands:none");
    CHECK_EQUAL(SENTINEL_REPLY_NIL, sentinel_reply_type(reply));
    CHECK(sentinel_reply_data(reply, NULL) == NULL);
    sentinel_reply_free(reply);
}

static void packed_arguments_are_the_same(sentinel_client_t *client)
{
    static const char data[] = "SETcommands:packeda\0b";
    const size_t lens[] = {3, 15, 3};
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;

    CHECK_OK(sentinel_command_packed(client, 3, lens, data, sizeof data - 1, NULL, &reply, &error), &error);
    CHECK_TEXT("OK", reply);
    sentinel_reply_free(reply);
    reply = RUN(client, "GET", "commands:packed");
    CHECK_BYTES("a\0b", 3, reply);
    sentinel_reply_free(reply);
}

static void many_arguments_and_large_values_pass(sentinel_client_t *client)
{
    char *value = malloc(MIB);
    const char *argv[1001], *set[] = {"SET", "commands:large", value};
    const size_t lens[] = {3, 14, MIB};
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;
    size_t i, len = 0;

    CHECK(value != NULL);
    for (i = 0; i < MIB; i++) {
        value[i] = (char)(i * 31 + i / 251);
    }
    CHECK_OK(sentinel_command(client, 3, set, lens, NULL, NULL, &error), &error);
    reply = RUN(client, "GET", "commands:large");
    CHECK_BYTES(value, MIB, reply);
    sentinel_reply_free(reply);
    DO(client, "DEL", "commands:large");
    free(value);

    argv[0] = "DEL";
    for (i = 1; i < 1001; i++) {
        argv[i] = "commands:none";
    }
    CHECK_OK(sentinel_command(client, 1001, argv, NULL, NULL, &reply, &error), &error);
    CHECK_EQUAL(SENTINEL_REPLY_INTEGER, sentinel_reply_type(reply));
    CHECK_EQUAL(0, sentinel_reply_integer(reply));
    CHECK(sentinel_reply_data(reply, &len) == NULL && len == 0);
    sentinel_reply_free(reply);
}

static void error_replies_are_failures(sentinel_client_t *client)
{
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;
    size_t len = 0;

    DO(client, "SET", "commands:string", "x");
    CHECK_EQUAL(SENTINEL_ERR_SERVER,
                sentinel_command(client, SENTINEL_ARGS("LPUSH", "commands:string", "x"), NULL, NULL, &reply, &error));
    CHECK(reply == NULL);
    CHECK(strcmp(sentinel_error_server_code(error, &len), "WRONGTYPE") == 0 && len == 9);
    CHECK(strstr(sentinel_error_message(error, &len), "WRONGTYPE") != NULL);
    CHECK_EQUAL(strlen(sentinel_error_message(error, NULL)), len);
    CHECK(sentinel_error_endpoint(error, NULL) != NULL && strchr(sentinel_error_endpoint(error, NULL), ':') != NULL);
    CHECK_EQUAL(SENTINEL_REASON_NONE, sentinel_error_reason(error));
    CHECK_EQUAL(0, sentinel_status_is_connection_error(sentinel_error_status(error)));
    sentinel_error_free(error);
    error = NULL;

    CHECK_FAILS(SENTINEL_ERR_SERVER, "unknown command",
                sentinel_command(client, SENTINEL_ARGS("NOSUCHCOMMAND"), NULL, NULL, &reply, &error), &error);
    CHECK_FAILS(SENTINEL_ERR_SERVER, "wrong number of arguments",
                sentinel_command(client, SENTINEL_ARGS("GET"), NULL, NULL, &reply, &error), &error);
    CHECK(reply == NULL);
    CHECK_STATUS(SENTINEL_ERR_SERVER, sentinel_command(client, SENTINEL_ARGS("NOSUCHCOMMAND"), NULL, NULL, NULL, NULL));
    DO(client, "PING"); /* none of it cost the connection */
}

static void what_needs_a_connection_of_its_own_is_refused(sentinel_client_t *client)
{
    static const char *const commands[][3] = {
        {"SUBSCRIBE", "c", NULL}, {"psubscribe", "c*", NULL}, {"SSUBSCRIBE", "c", NULL}, {"UNSUBSCRIBE", NULL, NULL},
        {"MONITOR", NULL, NULL},  {"SELECT", "1", NULL},      {"MULTI", NULL, NULL},     {"WATCH", "k", NULL},
        {"HELLO", "3", NULL},     {"AUTH", "x", NULL},        {"RESET", NULL, NULL},     {"QUIT", NULL, NULL},
        {"CLIENT", "REPLY", "OFF"}, {"WAIT", "0", "10"},
    };
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;
    size_t i, argc;

    for (i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        for (argc = 0; argc < 3 && commands[i][argc] != NULL; argc++) {
        }
        CHECK_EQUAL(SENTINEL_ERR_UNSUPPORTED_COMMAND,
                    sentinel_command(client, argc, commands[i], NULL, NULL, &reply, &error));
        CHECK_EQUAL(SENTINEL_OUTCOME_NOT_SENT, sentinel_error_outcome(error));
        CHECK(reply == NULL);
        sentinel_error_free(error);
        error = NULL;
    }
    DO(client, "PING");
}

static void a_call_has_its_own_deadline(sentinel_client_t *client)
{
    sentinel_call_t call = SENTINEL_CALL_INIT;
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;

    call.timeout_ms = -1;
    CHECK_OK(sentinel_command(client, SENTINEL_ARGS("PING"), NULL, &call, &reply, &error), &error);
    CHECK_TEXT("PONG", reply);
    sentinel_reply_free(reply);
    call.timeout_ms = 60000;
    call.flags = SENTINEL_CALL_RETRY_UNKNOWN;
    CHECK_OK(sentinel_command(client, SENTINEL_ARGS("PING", "hello"), NULL, &call, &reply, &error), &error);
    CHECK_TEXT("hello", reply);
    sentinel_reply_free(reply);
}

static void a_pipeline_keeps_order_and_errors(sentinel_client_t *client)
{
    sentinel_batch_t *batch = sentinel_batch_new(SENTINEL_BATCH_PIPELINE);
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;

    DO(client, "DEL", "commands:batch");
    CHECK_STATUS(SENTINEL_OK, sentinel_batch_add(batch, SENTINEL_ARGS("SET", "commands:batch", "1"), NULL));
    CHECK_STATUS(SENTINEL_OK, sentinel_batch_add(batch, SENTINEL_ARGS("LPUSH", "commands:batch", "2"), NULL));
    CHECK_STATUS(SENTINEL_OK, sentinel_batch_add(batch, SENTINEL_ARGS("INCR", "commands:batch"), NULL));
    CHECK(sentinel_batch_refusal(batch) == NULL);
    CHECK_STATUS(SENTINEL_ERR_UNSUPPORTED_COMMAND, sentinel_batch_add(batch, SENTINEL_ARGS("SUBSCRIBE", "x"), NULL));
    error = sentinel_batch_refusal(batch);
    CHECK_EQUAL(SENTINEL_ERR_UNSUPPORTED_COMMAND, sentinel_error_status(error));
    CHECK(strstr(sentinel_error_message(error, NULL), "sentinel_subscription_new") != NULL);
    sentinel_error_free(error);
    error = NULL;
    CHECK_EQUAL(3, sentinel_batch_len(batch));
    CHECK_OK(sentinel_batch_run(client, batch, NULL, &reply, &error), &error);
    CHECK_EQUAL(SENTINEL_REPLY_ARRAY, sentinel_reply_type(reply));
    CHECK_EQUAL(3, sentinel_reply_len(reply));
    CHECK_TEXT("OK", sentinel_reply_at(reply, 0));
    CHECK_EQUAL(SENTINEL_REPLY_ERROR, sentinel_reply_type(sentinel_reply_at(reply, 1)));
    CHECK(strncmp(sentinel_reply_data(sentinel_reply_at(reply, 1), NULL), "WRONGTYPE ", 10) == 0);
    error = sentinel_reply_failure(sentinel_reply_at(reply, 1));
    CHECK_EQUAL(SENTINEL_ERR_SERVER, sentinel_error_status(error));
    CHECK_EQUAL(SENTINEL_OUTCOME_REFUSED, sentinel_error_outcome(error));
    CHECK(strcmp(sentinel_error_server_code(error, NULL), "WRONGTYPE") == 0);
    sentinel_error_free(error);
    error = NULL;
    CHECK(sentinel_reply_failure(sentinel_reply_at(reply, 0)) == NULL);
    CHECK(sentinel_reply_failure(reply) == NULL && sentinel_reply_failure(NULL) == NULL);
    CHECK_EQUAL(2, sentinel_reply_integer(sentinel_reply_at(reply, 2)));
    CHECK(sentinel_reply_at(reply, 3) == NULL);
    sentinel_reply_free(reply);

    /* It may run again. */
    CHECK_OK(sentinel_batch_run(client, batch, NULL, NULL, &error), &error);
    sentinel_batch_free(batch);
}

static void a_transaction_is_all_or_nothing(sentinel_client_t *client)
{
    sentinel_batch_t *batch = sentinel_batch_new(SENTINEL_BATCH_TRANSACTION);
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;

    DO(client, "SET", "commands:transaction", "1");
    CHECK_STATUS(SENTINEL_OK, sentinel_batch_add(batch, SENTINEL_ARGS("INCR", "commands:transaction"), NULL));
    CHECK_STATUS(SENTINEL_OK, sentinel_batch_add(batch, SENTINEL_ARGS("INCR", "commands:transaction"), NULL));
    CHECK_OK(sentinel_batch_run(client, batch, NULL, &reply, &error), &error);
    CHECK_EQUAL(2, sentinel_reply_len(reply));
    CHECK_EQUAL(3, sentinel_reply_integer(sentinel_reply_at(reply, 1)));
    sentinel_reply_free(reply);
    reply = NULL;

    /* A command that the server does not take aborts all of it. */
    CHECK_STATUS(SENTINEL_OK, sentinel_batch_add(batch, SENTINEL_ARGS("NOSUCHCOMMAND"), NULL));
    CHECK_FAILS(SENTINEL_ERR_TRANSACTION_ABORTED, NULL, sentinel_batch_run(client, batch, NULL, &reply, &error),
                &error);
    CHECK(reply == NULL);
    reply = RUN(client, "GET", "commands:transaction");
    CHECK_TEXT("3", reply);
    sentinel_reply_free(reply);
    sentinel_batch_free(batch);
}

static void an_acquired_connection_keeps_its_state(sentinel_client_t *client)
{
    sentinel_connection_t *connection = NULL;
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;

    DO(client, "SET", "commands:watched", "1");
    CHECK_OK(sentinel_client_acquire(client, 0, &connection, &error), &error);
#define ON(...) sentinel_connection_command(connection, SENTINEL_ARGS(__VA_ARGS__), NULL, NULL, &reply, &error)
    CHECK_OK(ON("WATCH", "commands:watched"), &error);
    sentinel_reply_free(reply);
    CHECK_OK(ON("MULTI"), &error);
    sentinel_reply_free(reply);
    CHECK_OK(ON("INCR", "commands:watched"), &error);
    CHECK_TEXT("QUEUED", reply);
    sentinel_reply_free(reply);
    DO(client, "SET", "commands:watched", "9"); /* by another connection: EXEC must not run */
    reply = NULL;
    CHECK_FAILS(SENTINEL_ERR_TRANSACTION_ABORTED, "watched", ON("EXEC"), &error);
    CHECK_FAILS(SENTINEL_ERR_UNSUPPORTED_COMMAND, "SUBSCRIBE", ON("SUBSCRIBE", "c"), &error);
    CHECK(reply == NULL);
    sentinel_connection_release(connection);
}

int main(int argc, char **argv)
{
    sentinel_t *sentinel = live_open(argc, argv);
    sentinel_client_t *client = live_primary(sentinel, argv[1]);

    binary_values_come_back(client);
    packed_arguments_are_the_same(client);
    many_arguments_and_large_values_pass(client);
    error_replies_are_failures(client);
    what_needs_a_connection_of_its_own_is_refused(client);
    a_call_has_its_own_deadline(client);
    a_pipeline_keeps_order_and_errors(client);
    a_transaction_is_all_or_nothing(client);
    an_acquired_connection_keeps_its_state(client);
    CHECK_STATUS(SENTINEL_OK, sentinel_close(sentinel, 10000));
    sentinel_client_free(client);
    sentinel_free(sentinel);
    return 0;
}
