/*
 * A module for redis-server and valkey, with commands that no table of the library has. It declares what it needs of
 * the servers' module interface itself: the first pointer of a context is the function that finds all others by name.
 */
#include <stddef.h>

typedef struct context context_t;
typedef struct string string_t;
typedef struct answer answer_t;
typedef int command_fn(context_t *, string_t **, int);

enum { OK = 0, FAILED = 1, API_VERSION = 1 };

static int (*create_command)(context_t *, const char *, command_fn *, const char *, int, int, int);
static void (*set_attributes)(context_t *, const char *, int, int);
static int (*reply_number)(context_t *, long long);
static int (*reply_nil)(context_t *);
static int (*reply_error)(context_t *, const char *);
static int (*reply_answer)(context_t *, answer_t *);
static answer_t *(*call)(context_t *, const char *, const char *, ...);
static void (*free_answer)(answer_t *);
static int (*to_number)(const string_t *, long long *);
static void *(*block_client)(context_t *, command_fn *, command_fn *, void (*)(context_t *, void *), long long);

/* Commands that were executed since LAB.RUNS was asked last. */
static long long runs;

static int pass_on(context_t *ctx, answer_t *answer) {
    if (answer == NULL)
        return reply_error(ctx, "ERR the module's own call failed");
    runs++;
    reply_answer(ctx, answer);
    free_answer(answer);
    return OK;
}

/* LAB.READ key */
static int read_key(context_t *ctx, string_t **argv, int argc) {
    return argc == 2 ? pass_on(ctx, call(ctx, "GET", "s", argv[1])) : reply_error(ctx, "ERR LAB.READ key");
}

/* LAB.WRITE key, and LAB.QUIET key, which does the same and has no flag that says so. */
static int write_key(context_t *ctx, string_t **argv, int argc) {
    return argc == 2 ? pass_on(ctx, call(ctx, "INCR", "!s", argv[1])) : reply_error(ctx, "ERR LAB.WRITE key");
}

static int ended(context_t *ctx, string_t **argv, int argc) {
    (void)argv, (void)argc;
    return reply_nil(ctx);
}

/* LAB.WAIT key milliseconds */
static int wait_for_nothing(context_t *ctx, string_t **argv, int argc) {
    long long milliseconds;
    if (argc != 3 || to_number(argv[2], &milliseconds) != OK)
        return reply_error(ctx, "ERR LAB.WAIT key milliseconds");
    block_client(ctx, ended, ended, NULL, milliseconds);
    return OK;
}

/* LAB.RUNS */
static int count_runs(context_t *ctx, string_t **argv, int argc) {
    long long counted = runs;
    (void)argv, (void)argc;
    runs = 0;
    return reply_number(ctx, counted);
}

int RedisModule_OnLoad(context_t *ctx, string_t **argv, int argc);

int RedisModule_OnLoad(context_t *ctx, string_t **argv, int argc) {
    int (*find)(const char *, void *) = *(int (**)(const char *, void *))ctx;
    const struct {
        const char *name;
        void *place;
    } needed[] = {
        {"RedisModule_CreateCommand", &create_command},
        {"RedisModule_SetModuleAttribs", &set_attributes},
        {"RedisModule_ReplyWithLongLong", &reply_number},
        {"RedisModule_ReplyWithNull", &reply_nil},
        {"RedisModule_ReplyWithError", &reply_error},
        {"RedisModule_ReplyWithCallReply", &reply_answer},
        {"RedisModule_Call", &call},
        {"RedisModule_FreeCallReply", &free_answer},
        {"RedisModule_StringToLongLong", &to_number},
        {"RedisModule_BlockClient", &block_client},
    };
    (void)argv, (void)argc;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (find(needed[i].name, needed[i].place) != OK)
            return FAILED;
    set_attributes(ctx, "lab", 1, API_VERSION);
    if (create_command(ctx, "lab.read", read_key, "readonly", 1, 1, 1) != OK ||
        create_command(ctx, "lab.write", write_key, "write deny-oom", 1, 1, 1) != OK ||
        create_command(ctx, "lab.quiet", write_key, "", 1, 1, 1) != OK ||
        create_command(ctx, "lab.wait", wait_for_nothing, "blocking", 1, 1, 1) != OK ||
        create_command(ctx, "lab.runs", count_runs, "", 0, 0, 0) != OK)
        return FAILED;
    return OK;
}
