/* bench_hiredis WORKLOAD THREADS SECONDS: hiredis, one context a thread, as its users have it. PORT: the primary's; or
 * SOCKET: a path to connect to in its place. */
#include "bench.h"

#include <hiredis/hiredis.h>

typedef struct state {
    redisContext *context;
    const char *key;
} state;

static char value[BENCH_VALUE];
static size_t expected = BENCH_VALUE; /* bytes of what GET returns */

static redisReply *check(redisReply *reply) {
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
        bench_fail("a command failed");
    return reply;
}

static redisContext *context_of(state *state) {
    if (state->context == NULL) {
        const char *port = getenv("PORT"), *path = getenv("SOCKET");
        state->context =
            path != NULL ? redisConnectUnix(path) : redisConnect("127.0.0.1", port != NULL ? atoi(port) : 6379);
        if (state->context == NULL || state->context->err != 0)
            bench_fail("no connection");
    }
    return state->context;
}

static void check_value(const redisReply *reply) {
    if (reply->type != REDIS_REPLY_STRING || reply->len != expected)
        bench_fail("a value has another length");
}

/* redisCommandArgv, not redisCommand: its format string would be parsed anew each time. */
static redisReply *command(state *state, int argc, const char **argv, const size_t *lens) {
    return check(redisCommandArgv(context_of(state), argc, argv, lens));
}

static size_t work_get(void *argument) {
    state *state = argument;
    redisReply *reply = command(state, 2, (const char *[]){"GET", state->key}, NULL);
    check_value(reply);
    freeReplyObject(reply);
    return 1;
}

static size_t work_set(void *argument) {
    state *state = argument;
    const size_t lens[] = {3, strlen(state->key), BENCH_VALUE};
    freeReplyObject(command(state, 3, (const char *[]){"SET", state->key, value}, lens));
    return 1;
}

static size_t work_batch(void *argument) {
    state *state = argument;
    redisContext *context = context_of(state);
    void *reply = NULL;
    for (int i = 0; i < BENCH_BATCH; i++)
        redisAppendCommandArgv(context, 2, (const char *[]){"GET", state->key}, NULL);
    for (int i = 0; i < BENCH_BATCH; i++) {
        if (redisGetReply(context, &reply) != REDIS_OK)
            bench_fail("a batch failed");
        check_value(check(reply));
        freeReplyObject(reply);
    }
    return BENCH_BATCH;
}

static size_t work_list(void *argument) {
    state *state = argument;
    redisReply *reply = command(state, 4, (const char *[]){"LRANGE", state->key, "0", "-1"}, NULL);
    size_t sum = 0;
    for (size_t i = 0; i < reply->elements; i++)
        sum += reply->element[i]->len;
    if (sum != (size_t)BENCH_LIST * 16)
        bench_fail("a list has another length");
    freeReplyObject(reply);
    return 1;
}

int main(int argc, char **argv) {
    static state all[1024];
    static void *states[1024];
    if (argc != 4)
        return bench_usage(argv[0], "get|set|batch|large|list");
    memset(value, 'v', BENCH_VALUE);
    for (size_t i = 0; i < 1024; i++) {
        all[i].key = "bench:0";
        states[i] = &all[i];
    }
    bench_work work = work_get;
    if (strcmp(argv[1], "set") == 0) {
        work = work_set;
    } else if (strcmp(argv[1], "batch") == 0) {
        work = work_batch;
    } else if (strcmp(argv[1], "large") == 0) {
        expected = BENCH_LARGE;
        for (size_t i = 0; i < 1024; i++)
            all[i].key = "bench:large";
    } else if (strcmp(argv[1], "list") == 0) {
        work = work_list;
        for (size_t i = 0; i < 1024; i++)
            all[i].key = "bench:list";
    } else if (strcmp(argv[1], "get") != 0) {
        return bench_usage(argv[0], "get|set|batch|large|list");
    }
    return bench_run((size_t)atoi(argv[2]), atof(argv[3]), work, states);
}
