/*
 * needs: topology. Called with SERVICE HOST:PORT... What the Sentinels say and how clients follow it: discovery, roles,
 * a write that its replica sees, services and Sentinels that do not exist, frees in any order.
 */
#include <time.h>

#include "live.h"

static void wait_a_moment(void)
{
    const struct timespec moment = {0, 20 * 1000 * 1000};

    nanosleep(&moment, NULL);
}

static void check_list(sentinel_nodes_t *nodes, int32_t role)
{
    size_t i;

    for (i = 0; i < sentinel_nodes_len(nodes); i++) {
        CHECK(strlen(sentinel_nodes_host(nodes, i)) > 0);
        CHECK(sentinel_nodes_port(nodes, i) != 0);
        CHECK_EQUAL(role, sentinel_nodes_role(nodes, i));
        CHECK(sentinel_nodes_field(nodes, i, "no-such-field") == NULL);
        CHECK(sentinel_nodes_field(nodes, i, NULL) == NULL);
    }
    CHECK(sentinel_nodes_host(nodes, i) == NULL && sentinel_nodes_field(nodes, i, "flags") == NULL);
    CHECK_EQUAL(0, sentinel_nodes_port(nodes, i));
    CHECK_EQUAL(0, sentinel_nodes_role(nodes, i));
}

static void the_sentinels_know_everyone(sentinel_t *sentinel, const char *service, int seeds)
{
    sentinel_nodes_t *primary = NULL, *replicas = NULL, *sentinels = NULL;
    sentinel_error_t *error = NULL;

    CHECK_OK(sentinel_discover_primary(sentinel, service, 0, &primary, &error), &error);
    CHECK_EQUAL(1, sentinel_nodes_len(primary));
    check_list(primary, SENTINEL_ROLE_PRIMARY);
    CHECK(sentinel_nodes_field(primary, 0, "config-epoch") != NULL);
    CHECK(strstr(sentinel_nodes_field(primary, 0, "flags"), "master") != NULL);

    CHECK_OK(sentinel_discover_replicas(sentinel, service, 60000, &replicas, &error), &error);
    check_list(replicas, SENTINEL_ROLE_REPLICA);
    CHECK_OK(sentinel_discover_sentinels(sentinel, service, -1, &sentinels, &error), &error);
    check_list(sentinels, SENTINEL_ROLE_SENTINEL);
    CHECK(sentinel_nodes_len(sentinels) + 1 >= (size_t)seeds);

    /* Only the outcome is wanted. */
    CHECK_OK(sentinel_discover_primary(sentinel, service, 0, NULL, &error), &error);
    sentinel_nodes_free(primary);
    sentinel_nodes_free(replicas);
    sentinel_nodes_free(sentinels);
}

static void clients_reach_the_right_role(sentinel_t *sentinel, const char *service)
{
    sentinel_client_t *primary = live_primary(sentinel, service), *replica = NULL;
    sentinel_nodes_t *node = NULL, *replicas = NULL;
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;
    char value[32];
    int tries, has_replica;

    CHECK_OK(sentinel_replica_for(sentinel, service, NULL, &replica, &error), &error);
    CHECK_OK(sentinel_client_connect(primary, 0, &error), &error);
    CHECK_OK(sentinel_client_connect(replica, 0, &error), &error);
    CHECK_STATUS(SENTINEL_OK, sentinel_client_node(primary, &node));
    CHECK_EQUAL(1, sentinel_nodes_len(node));
    check_list(node, SENTINEL_ROLE_PRIMARY);
    sentinel_nodes_free(node);

    reply = RUN(primary, "ROLE");
    CHECK_TEXT("master", sentinel_reply_at(reply, 0));
    sentinel_reply_free(reply);
    CHECK_OK(sentinel_discover_replicas(sentinel, service, 0, &replicas, &error), &error);
    has_replica = sentinel_nodes_len(replicas) > 0;
    sentinel_nodes_free(replicas);
    reply = RUN(replica, "ROLE");
    CHECK_TEXT(has_replica ? "slave" : "master", sentinel_reply_at(reply, 0));
    sentinel_reply_free(reply);

    snprintf(value, sizeof value, "%ld", (long)time(NULL));
    DO(primary, "SET", "topology:key", value);
    for (tries = 0;; tries++) { /* replication takes its time */
        const char *data;

        reply = RUN(replica, "GET", "topology:key");
        data = sentinel_reply_data(reply, NULL);
        if (data != NULL && strcmp(data, value) == 0) {
            break;
        }
        CHECK(tries < 250);
        sentinel_reply_free(reply);
        wait_a_moment();
    }
    sentinel_reply_free(reply);
    sentinel_client_free(replica);
    sentinel_client_free(primary);
}

static void check_not_found(sentinel_status_t status, int32_t reason, sentinel_error_t **error, int line)
{
    check_equal(SENTINEL_ERR_PRIMARY_NOT_FOUND, status, "status", __FILE__, line);
    check_equal(reason, sentinel_error_reason(*error), "reason", __FILE__, line);
    check_equal(SENTINEL_OUTCOME_NOT_SENT, sentinel_error_outcome(*error), "outcome", __FILE__, line);
    CHECK(sentinel_error_attempts(*error) > 0);
    CHECK(strchr(sentinel_error_attempt(*error, 0, NULL), ':') != NULL);
    CHECK_EQUAL(1, sentinel_status_is_connection_error(status));
    sentinel_error_free(*error);
    *error = NULL;
}

static void what_does_not_exist_is_not_found(sentinel_t *sentinel, const char *service)
{
    sentinel_call_t call = SENTINEL_CALL_INIT;
    sentinel_options_t *options = sentinel_options_new();
    sentinel_client_t *client = NULL;
    sentinel_nodes_t *nodes = NULL;
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;
    sentinel_t *nowhere = NULL;
    sentinel_status_t status;

    call.timeout_ms = 2000;
    CHECK_OK(sentinel_primary_for(sentinel, "no-such-service", NULL, &client, &error), &error);
    status = sentinel_command(client, SENTINEL_ARGS("PING"), NULL, &call, &reply, &error);
    check_not_found(status, SENTINEL_REASON_UNKNOWN_SERVICE, &error, __LINE__);
    status = sentinel_discover_primary(sentinel, "no-such-service", 2000, &nodes, &error);
    check_not_found(status, SENTINEL_REASON_UNKNOWN_SERVICE, &error, __LINE__);
    CHECK(reply == NULL && nodes == NULL);
    sentinel_client_free(client);

    CHECK_OK(sentinel_options_add_sentinel(options, "127.0.0.1", 1, &error), &error);
    CHECK_OK(sentinel_open(options, &nowhere, &error), &error);
    sentinel_options_free(options);
    status = sentinel_discover_primary(nowhere, service, 2000, &nodes, &error);
    check_not_found(status, SENTINEL_REASON_NO_SENTINEL_REACHABLE, &error, __LINE__);
    /* No service was named, neither here nor by a URL. */
    CHECK_FAILS(SENTINEL_ERR_INVALID_ARGUMENT, "service", sentinel_primary_for(nowhere, NULL, NULL, &client, &error),
                &error);
    sentinel_free(nowhere);
}

static void a_url_names_the_service(int argc, char **argv)
{
    char url[1024] = "redis+sentinel://";
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_client_t *client = NULL;
    sentinel_error_t *error = NULL;
    int i;

    for (i = 2; i < argc; i++) {
        strncat(url, argv[i], sizeof url - strlen(url) - 1);
        strncat(url, i + 1 < argc ? "," : "/", sizeof url - strlen(url) - 1);
    }
    strncat(url, argv[1], sizeof url - strlen(url) - 1);
    strncat(url, "/0?timeout_ms=60000&sentinel.timeout_ms=5000", sizeof url - strlen(url) - 1);
    CHECK_OK(sentinel_options_parse_url(options, url, &error), &error);
    CHECK_OK(sentinel_open(options, &sentinel, &error), &error);
    CHECK_OK(sentinel_primary_for(sentinel, NULL, NULL, &client, &error), &error);

    /* Parents are freed before their children. */
    sentinel_options_free(options);
    sentinel_free(sentinel);
    DO(client, "PING");
    sentinel_client_free(client);
}

static void a_closed_deployment_stays_closed(int argc, char **argv)
{
    sentinel_t *sentinel = live_open(argc, argv);
    sentinel_client_t *client = live_primary(sentinel, argv[1]);
    sentinel_nodes_t *nodes = NULL;
    sentinel_error_t *error = NULL;

    DO(client, "PING");
    CHECK_STATUS(SENTINEL_OK, sentinel_close(sentinel, 10000));
    CHECK_FAILS(SENTINEL_ERR_CLOSED, NULL, sentinel_command(client, SENTINEL_ARGS("PING"), NULL, NULL, NULL, &error),
                &error);
    CHECK_FAILS(SENTINEL_ERR_CLOSED, NULL, sentinel_discover_primary(sentinel, argv[1], 0, &nodes, &error), &error);
    sentinel_client_free(client);
    sentinel_free(sentinel);
}

int main(int argc, char **argv)
{
    sentinel_t *sentinel = live_open(argc, argv);

    the_sentinels_know_everyone(sentinel, argv[1], argc - 2);
    clients_reach_the_right_role(sentinel, argv[1]);
    what_does_not_exist_is_not_found(sentinel, argv[1]);
    sentinel_free(sentinel);
    a_url_names_the_service(argc, argv);
    a_closed_deployment_stays_closed(argc, argv);
    return 0;
}
