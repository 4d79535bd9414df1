/*
 * For the tests that run against a live topology and are called with SERVICE HOST:PORT...
 */
#ifndef LIVE_H
#define LIVE_H

#include "check.h"

/*
 * Options with the Sentinels of the command line. The timeouts are long: these tests are about answers, and must not
 * fail on a busy machine or under valgrind.
 */
static inline sentinel_options_t *live_options(int argc, char **argv)
{
    sentinel_options_t *options = sentinel_options_new();
    sentinel_error_t *error = NULL;
    int i;

    if (argc < 3) {
        fprintf(stderr, "usage: %s SERVICE HOST:PORT...\n", argv[0]);
        exit(2);
    }
    CHECK(options != NULL);
    for (i = 2; i < argc; i++) {
        char host[256];
        const char *colon = strrchr(argv[i], ':');

        CHECK(colon != NULL && (size_t)(colon - argv[i]) < sizeof host);
        memcpy(host, argv[i], (size_t)(colon - argv[i]));
        host[colon - argv[i]] = '\0';
        CHECK_OK(sentinel_options_add_sentinel(options, host, (uint16_t)atoi(colon + 1), &error), &error);
    }
    CHECK_OK(sentinel_options_set_int(options, "timeout_ms", 60000, &error), &error);
    CHECK_OK(sentinel_options_set_int(options, "connect_timeout_ms", 10000, &error), &error);
    CHECK_OK(sentinel_options_set_int(options, "sentinel.timeout_ms", 5000, &error), &error);
    CHECK_OK(sentinel_options_set_int(options, "sentinel.connect_timeout_ms", 5000, &error), &error);
    return options;
}

static inline sentinel_t *live_open(int argc, char **argv)
{
    sentinel_options_t *options = live_options(argc, argv);
    sentinel_t *sentinel = NULL;
    sentinel_error_t *error = NULL;

    CHECK_OK(sentinel_open(options, &sentinel, &error), &error);
    sentinel_options_free(options);
    return sentinel;
}

static inline sentinel_client_t *live_primary(sentinel_t *sentinel, const char *service)
{
    sentinel_client_t *client = NULL;
    sentinel_error_t *error = NULL;

    CHECK_OK(sentinel_primary_for(sentinel, service, NULL, &client, &error), &error);
    return client;
}

/* Runs a command of NUL-terminated arguments that must succeed. */
#define RUN(client, ...) live_run((client), __FILE__, __LINE__, SENTINEL_ARGS(__VA_ARGS__))

static inline sentinel_reply_t *live_run(sentinel_client_t *client, const char *file, int line, size_t argc,
                                         const char *const *argv)
{
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;
    sentinel_status_t status = sentinel_command(client, argc, argv, NULL, NULL, &reply, &error);

    check_status(SENTINEL_OK, status, &error, NULL, argv[0], file, line);
    return reply;
}

/* The same where only success matters. */
#define DO(client, ...) sentinel_reply_free(RUN(client, __VA_ARGS__))

/* Whether the server is of this version or later; what an older one lacks is left out. Valkey tells that of redis. */
static inline int live_since(sentinel_client_t *client, int major, int minor)
{
    sentinel_reply_t *reply = RUN(client, "INFO", "server");
    const char *version = strstr(sentinel_reply_data(reply, NULL), "redis_version:");
    int has[2] = {0, 0};

    CHECK(version != NULL && sscanf(version, "redis_version:%d.%d", &has[0], &has[1]) == 2);
    sentinel_reply_free(reply);
    return has[0] > major || (has[0] == major && has[1] >= minor);
}

#endif
