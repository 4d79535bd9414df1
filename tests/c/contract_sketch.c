/*
 * needs: topology. Called with SERVICE HOST:PORT... A program as a user of the contract would write it, with its names
 * only: it stores sessions through the primary, reads them through a replica, counts in a transaction, and tells the
 * errors apart.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sentinel.h>

static void log_line(void *user_data, int32_t level, const char *message, size_t len)
{
    int *lines = user_data;

    (void)level;
    (void)message;
    (void)len;
    *lines += 1;
}

static int report(const char *what, sentinel_status_t status, sentinel_error_t *error)
{
    size_t i, len;

    fprintf(stderr, "%s: %s: %s\n", what, sentinel_status_name(status), sentinel_error_message(error, &len));
    for (i = 0; i < sentinel_error_attempts(error); i++) {
        fprintf(stderr, "  %s\n", sentinel_error_attempt(error, i, NULL));
    }
    if (sentinel_status_is_connection_error(status) && sentinel_error_outcome(error) == SENTINEL_OUTCOME_NOT_SENT) {
        fprintf(stderr, "  may be repeated\n");
    }
    sentinel_error_free(error);
    return 1;
}

static int count_visits(sentinel_client_t *primary, int64_t *visits)
{
    static const size_t lens[] = {6, 13, 4};
    sentinel_batch_t *batch = sentinel_batch_new(SENTINEL_BATCH_TRANSACTION);
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;
    sentinel_status_t status;

    if (batch == NULL || sentinel_batch_add(batch, SENTINEL_ARGS("INCR", "sketch:visits"), NULL) != SENTINEL_OK ||
        sentinel_batch_add_packed(batch, 3, lens, "EXPIREsketch:visits3600", 23) != SENTINEL_OK) {
        return 1;
    }
    status = sentinel_batch_run(primary, batch, NULL, &reply, &error);
    sentinel_batch_free(batch);
    if (status != SENTINEL_OK) {
        return report("transaction", status, error);
    }
    *visits = sentinel_reply_integer(sentinel_reply_at(reply, 0));
    sentinel_reply_free(reply);
    return 0;
}

static int store_and_read(sentinel_client_t *primary, sentinel_client_t *replica)
{
    static const char session[] = "user\0admin";
    const char *argv[] = {"SET", "sketch:session", session, "EX", "60"};
    const size_t argvlen[] = {3, 14, sizeof session - 1, 2, 2};
    sentinel_call_t call = SENTINEL_CALL_INIT;
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;
    sentinel_status_t status;
    size_t len = 0;

    call.timeout_ms = 30000;
    call.flags = SENTINEL_CALL_RETRY_UNKNOWN;
    status = sentinel_command(primary, 5, argv, argvlen, &call, NULL, &error);
    if (status != SENTINEL_OK) {
        return report("SET", status, error);
    }
    status = sentinel_command(replica, SENTINEL_ARGS("GET", "sketch:session"), NULL, NULL, &reply, &error);
    if (status != SENTINEL_OK) {
        return report("GET", status, error);
    }
    if (sentinel_reply_type(reply) == SENTINEL_REPLY_STRING) {
        const char *data = sentinel_reply_data(reply, &len);

        if (len != sizeof session - 1 || memcmp(data, session, len) != 0) {
            fprintf(stderr, "GET: another value\n");
            return 1;
        }
    } /* else NIL: the replica does not have it yet */
    sentinel_reply_free(reply);

    switch (sentinel_command(primary, SENTINEL_ARGS("LPUSH", "sketch:session", "x"), NULL, NULL, &reply, &error)) {
    case SENTINEL_ERR_SERVER:
        if (strcmp(sentinel_error_server_code(error, &len), "WRONGTYPE") != 0 || len != strlen("WRONGTYPE")) {
            return report("LPUSH", SENTINEL_ERR_SERVER, error);
        }
        break;
    default:
        return report("LPUSH", sentinel_error_status(error), error);
    }
    sentinel_error_free(error);
    return 0;
}

int main(int argc, char **argv)
{
    sentinel_options_t *options = sentinel_options_new(), *own = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_nodes_t *nodes = NULL;
    sentinel_client_t *primary = NULL, *replica = NULL;
    sentinel_error_t *error = NULL;
    sentinel_status_t status;
    int64_t visits = 0;
    int lines = 0, i, failed;

    for (i = 2; i < argc; i++) {
        char *colon = strrchr(argv[i], ':');

        *colon = '\0';
        if (sentinel_options_add_sentinel(options, argv[i], (uint16_t)atoi(colon + 1), NULL) != SENTINEL_OK) {
            return 1;
        }
    }
    sentinel_options_set(options, "client_name", "sketch", NULL);
    sentinel_options_set_int(options, "timeout_ms", 60000, NULL);
    sentinel_options_set_int(options, "sentinel.timeout_ms", 5000, NULL);
    sentinel_options_set_log(options, SENTINEL_LOG_INFO, log_line, &lines);
    sentinel_options_set_int(own, "timeout_ms", 30000, NULL);
    if ((status = sentinel_open(options, &sentinel, &error)) != SENTINEL_OK) {
        return report("open", status, error);
    }
    sentinel_options_free(options);

    if ((status = sentinel_discover_primary(sentinel, argv[1], 0, &nodes, &error)) != SENTINEL_OK) {
        return report("discover", status, error);
    }
    for (i = 0; i < (int)sentinel_nodes_len(nodes); i++) {
        printf("primary %s:%u\n", sentinel_nodes_host(nodes, (size_t)i), sentinel_nodes_port(nodes, (size_t)i));
    }
    sentinel_nodes_free(nodes);

    if ((status = sentinel_primary_for(sentinel, argv[1], NULL, &primary, &error)) != SENTINEL_OK ||
        (status = sentinel_replica_for(sentinel, argv[1], own, &replica, &error)) != SENTINEL_OK) {
        return report("client", status, error);
    }
    sentinel_options_free(own);
    failed = store_and_read(primary, replica) || count_visits(primary, &visits);
    printf("%lld visits with libsentinel %s\n", (long long)visits, sentinel_version());

    sentinel_client_free(primary);
    sentinel_client_free(replica);
    sentinel_close(sentinel, 1000);
    sentinel_free(sentinel);
    return failed || visits < 1;
}
