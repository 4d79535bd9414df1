/*
 * Ask the Sentinels who serves, write through the primary, read through a replica.
 *
 *     quickstart SERVICE HOST:PORT [HOST:PORT...]
 *
 * Each HOST:PORT is a Sentinel; SERVICE is the name it watches the primary under, often "mymaster".
 */
#define _POSIX_C_SOURCE 200809L
#include <sentinel.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Says what failed, and every Sentinel and node that was tried for it. */
static int fail(const char *what, sentinel_error_t *error) {
    fprintf(stderr, "%s: %s: %s\n", what, sentinel_status_name(sentinel_error_status(error)),
            sentinel_error_message(error, NULL));
    sentinel_error_free(error);
    return 1;
}

/* Adds one Sentinel given as host:port, or as [address]:port for IPv6. */
static sentinel_status_t add_sentinel(sentinel_options_t *options, const char *endpoint, sentinel_error_t **error) {
    char host[256];
    const char *colon = strrchr(endpoint, ':');
    size_t len = colon != NULL ? (size_t)(colon - endpoint) : strlen(endpoint);
    long port = colon != NULL ? strtol(colon + 1, NULL, 10) : 26379;
    if (len >= 2 && endpoint[0] == '[' && endpoint[len - 1] == ']') {
        endpoint++;
        len -= 2;
    }
    snprintf(host, sizeof host, "%.*s", (int)len, endpoint);
    /* What is no port becomes 0, which the library refuses with a message. */
    return sentinel_options_add_sentinel(options, host, port > 0 && port <= 65535 ? (uint16_t)port : 0, error);
}

static void print_nodes(const char *role, const sentinel_nodes_t *nodes) {
    for (size_t i = 0; i < sentinel_nodes_len(nodes); i++)
        printf("%s %s:%u\n", role, sentinel_nodes_host(nodes, i), (unsigned)sentinel_nodes_port(nodes, i));
}

/* Replication is asynchronous: what the primary just took may reach the replica a moment later. */
static sentinel_status_t read_until(sentinel_client_t *replica, const char *key, const char *value,
                                    sentinel_reply_t **reply, sentinel_error_t **error) {
    const struct timespec pause = {0, 20 * 1000 * 1000};
    for (int tries = 1;; tries++) {
        sentinel_status_t status = sentinel_command(replica, SENTINEL_ARGS("GET", key), NULL, NULL, reply, error);
        if (status != SENTINEL_OK || tries == 100)
            return status;
        const char *seen = sentinel_reply_data(*reply, NULL); /* NULL as long as there is no such key */
        if (seen != NULL && strcmp(seen, value) == 0)
            return SENTINEL_OK;
        sentinel_reply_free(*reply);
        *reply = NULL;
        nanosleep(&pause, NULL);
    }
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s SERVICE HOST:PORT [HOST:PORT...]\n", argv[0]);
        return 1;
    }
    const char *service = argv[1];
    sentinel_options_t *options = sentinel_options_new(), *overrides = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_client_t *primary = NULL, *replica = NULL;
    sentinel_nodes_t *primaries = NULL, *replicas = NULL;
    sentinel_reply_t *set = NULL, *get = NULL;
    sentinel_error_t *error = NULL;
    const char *step = "options";
    int result = 1;

    for (int i = 2; i < argc; i++)
        if (add_sentinel(options, argv[i], &error) != SENTINEL_OK)
            goto done;
    if (sentinel_options_set_int(options, "timeout_ms", 2000, &error) != SENTINEL_OK)
        goto done;
    step = "open"; /* starts the library's thread; nothing is connected yet */
    if (sentinel_open(options, &sentinel, &error) != SENTINEL_OK)
        goto done;

    step = "discover the primary";
    if (sentinel_discover_primary(sentinel, service, 0, &primaries, &error) != SENTINEL_OK)
        goto done;
    print_nodes("primary", primaries);
    step = "discover the replicas";
    if (sentinel_discover_replicas(sentinel, service, 0, &replicas, &error) != SENTINEL_OK)
        goto done;
    print_nodes("replica", replicas);

    /* A client inherits the options above. What is set here is different for this client only. */
    step = "clients";
    if (sentinel_options_set_int(overrides, "timeout_ms", 1000, &error) != SENTINEL_OK ||
        sentinel_primary_for(sentinel, service, overrides, &primary, &error) != SENTINEL_OK ||
        sentinel_replica_for(sentinel, service, overrides, &replica, &error) != SENTINEL_OK)
        goto done;

    step = "SET foo bar";
    if (sentinel_command(primary, SENTINEL_ARGS("SET", "foo", "bar"), NULL, NULL, &set, &error) != SENTINEL_OK)
        goto done;
    printf("SET foo bar: %s\n", sentinel_reply_data(set, NULL));
    step = "GET foo";
    if (read_until(replica, "foo", "bar", &get, &error) != SENTINEL_OK)
        goto done;
    if (sentinel_reply_type(get) == SENTINEL_REPLY_NIL) {
        fprintf(stderr, "GET foo: the replica does not have it yet\n");
        goto done;
    }
    printf("GET foo: %s\n", sentinel_reply_data(get, NULL));
    result = 0;

done: /* every free takes NULL, and the order does not matter */
    if (error != NULL)
        result = fail(step, error);
    sentinel_reply_free(get);
    sentinel_reply_free(set);
    sentinel_client_free(replica);
    sentinel_client_free(primary);
    sentinel_nodes_free(replicas);
    sentinel_nodes_free(primaries);
    sentinel_free(sentinel);
    sentinel_options_free(overrides);
    sentinel_options_free(options);
    return result;
}
