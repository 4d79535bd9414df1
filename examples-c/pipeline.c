/*
 * Send a thousand commands in one write, and a few as one transaction.
 *
 *     pipeline SERVICE HOST:PORT [HOST:PORT...]
 *
 * Each HOST:PORT is a Sentinel.
 */
#include <sentinel.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 1000 };

static int fail(sentinel_error_t *error) {
    fprintf(stderr, "%s: %s\n", sentinel_status_name(sentinel_error_status(error)), sentinel_error_message(error, NULL));
    sentinel_error_free(error);
    return 1;
}

/* The sum of all INCR replies, or -1. An element that the server refused is an ERROR and does not fail the call. */
static int64_t count_up(sentinel_client_t *client, sentinel_error_t **error) {
    sentinel_batch_t *batch = sentinel_batch_new(SENTINEL_BATCH_PIPELINE);
    sentinel_reply_t *replies = NULL;
    int64_t sum = 0;
    sentinel_batch_add(batch, SENTINEL_ARGS("DEL", "counter"), NULL);
    for (int i = 0; i < COUNT; i++)
        sentinel_batch_add(batch, SENTINEL_ARGS("INCR", "counter"), NULL);
    if (sentinel_batch_run(client, batch, NULL, &replies, error) != SENTINEL_OK)
        sum = -1;
    for (size_t i = 1; i < sentinel_reply_len(replies); i++)
        sum += sentinel_reply_integer(sentinel_reply_at(replies, i));
    sentinel_reply_free(replies);
    sentinel_batch_free(batch);
    return sum;
}

/* Nothing comes between the commands of a transaction. */
static sentinel_status_t move(sentinel_client_t *client, sentinel_reply_t **replies, sentinel_error_t **error) {
    sentinel_batch_t *batch = sentinel_batch_new(SENTINEL_BATCH_TRANSACTION);
    sentinel_batch_add(batch, SENTINEL_ARGS("MSET", "from", "100", "to", "0"), NULL);
    sentinel_batch_add(batch, SENTINEL_ARGS("DECRBY", "from", "30"), NULL);
    sentinel_batch_add(batch, SENTINEL_ARGS("INCRBY", "to", "30"), NULL);
    sentinel_status_t status = sentinel_batch_run(client, batch, NULL, replies, error);
    sentinel_batch_free(batch);
    return status;
}

int main(int argc, char **argv) {
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_client_t *client = NULL;
    sentinel_reply_t *replies = NULL;
    sentinel_error_t *error = NULL;

    if (argc < 3) {
        fprintf(stderr, "usage: %s SERVICE HOST:PORT [HOST:PORT...]\n", argv[0]);
        sentinel_options_free(options);
        return 1;
    }
    for (int i = 2; i < argc; i++) {
        char *colon = strrchr(argv[i], ':');
        long port = colon != NULL ? strtol(colon + 1, NULL, 10) : 26379;
        if (colon != NULL)
            *colon = '\0';
        sentinel_options_add_sentinel(options, argv[i], (uint16_t)port, NULL);
    }
    if (sentinel_open(options, &sentinel, &error) == SENTINEL_OK &&
        sentinel_primary_for(sentinel, argv[1], NULL, &client, &error) == SENTINEL_OK) {
        int64_t sum = count_up(client, &error);
        if (sum >= 0)
            printf("the sum of 1 to %d is %lld\n", COUNT, (long long)sum);
        if (error == NULL && move(client, &replies, &error) == SENTINEL_OK)
            printf("from %lld, to %lld\n", (long long)sentinel_reply_integer(sentinel_reply_at(replies, 1)),
                   (long long)sentinel_reply_integer(sentinel_reply_at(replies, 2)));
    }
    sentinel_reply_free(replies);
    sentinel_client_free(client);
    sentinel_free(sentinel);
    sentinel_options_free(options);
    return error != NULL ? fail(error) : 0;
}
