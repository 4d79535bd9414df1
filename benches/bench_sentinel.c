/* bench_sentinel WORKLOAD THREADS SECONDS: libsentinel, one client for all threads. SERVICE and SENTINELS as `lab run` sets them.
 * `bench_sentinel idle COUNT 0` prints the KiB that each further connected client takes. */
#include "bench.h"

#include <sentinel.h>
#include <unistd.h>

static sentinel_t *deployment;
static sentinel_client_t *client;
static char value[BENCH_LARGE];

static void must(sentinel_status_t status, sentinel_error_t *error) {
    if (status != SENTINEL_OK)
        bench_fail(error != NULL ? sentinel_error_message(error, NULL) : sentinel_status_name(status));
}

static void command(size_t argc, const char *const *argv, const size_t *lens, sentinel_reply_t **reply) {
    sentinel_error_t *error = NULL;
    must(sentinel_command(client, argc, argv, lens, NULL, reply, &error), error);
}

static size_t work_get(void *key) {
    sentinel_reply_t *reply = NULL;
    command(2, (const char *const[]){"GET", key}, NULL, &reply);
    sentinel_reply_free(reply);
    return 1;
}

static size_t work_set(void *key) {
    sentinel_reply_t *reply = NULL;
    command(3, (const char *const[]){"SET", key, value}, (const size_t[]){3, strlen(key), BENCH_VALUE}, &reply);
    sentinel_reply_free(reply);
    return 1;
}

static size_t work_batch(void *key) {
    static __thread sentinel_batch_t *batch;
    sentinel_error_t *error = NULL;
    sentinel_reply_t *reply = NULL;
    if (batch == NULL)
        batch = sentinel_batch_new(SENTINEL_BATCH_PIPELINE);
    sentinel_batch_clear(batch);
    for (int i = 0; i < BENCH_BATCH; i++)
        must(sentinel_batch_add(batch, 2, (const char *const[]){"GET", key}, NULL), NULL);
    must(sentinel_batch_run(client, batch, NULL, &reply, &error), error);
    for (size_t i = 0; i < BENCH_BATCH; i++)
        if (sentinel_reply_type(sentinel_reply_at(reply, i)) != SENTINEL_REPLY_STRING)
            bench_fail("an element of a batch is no string");
    sentinel_reply_free(reply);
    return BENCH_BATCH;
}

static size_t work_list(void *key) {
    sentinel_reply_t *reply = NULL;
    size_t sum = 0, count = 0, stride = 0;
    command(4, (const char *const[]){"LRANGE", key, "0", "-1"}, NULL, &reply);
    const char *node = (const char *)sentinel_reply_nodes(reply, &count, &stride);
    for (size_t i = 1; i < count; i++)
        sum += ((const sentinel_reply_node_t *)(const void *)(node + i * stride))->len;
    if (sum != (size_t)BENCH_LIST * 16)
        bench_fail("a list has another length");
    sentinel_reply_free(reply);
    return 1;
}

static void open_client(void) {
    sentinel_error_t *error = NULL;
    sentinel_options_t *options = sentinel_options_new();
    char *list = strdup(getenv("SENTINELS") != NULL ? getenv("SENTINELS") : "");
    for (char *each = strtok(list, ", "); each != NULL; each = strtok(NULL, ", ")) {
        char *port = strrchr(each, ':');
        if (port == NULL)
            bench_fail("SENTINELS takes host:port,...");
        *port++ = '\0';
        must(sentinel_options_add_sentinel(options, each, (uint16_t)atoi(port), &error), error);
    }
    free(list);
    must(sentinel_open(options, &deployment, &error), error);
    must(sentinel_primary_for(deployment, getenv("SERVICE"), NULL, &client, &error), error);
    sentinel_options_free(options);
}

static long resident_kib(void) {
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &size, &resident) != 2)
        bench_fail("no /proc/self/statm");
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static int idle(size_t count) {
    sentinel_error_t *error = NULL;
    sentinel_client_t **all = calloc(count, sizeof(*all));
    work_get("bench:0");
    long before = resident_kib();
    for (size_t i = 0; i < count; i++) {
        must(sentinel_primary_for(deployment, getenv("SERVICE"), NULL, &all[i], &error), error);
        must(sentinel_client_connect(all[i], 0, &error), error);
    }
    printf("%.1f\n", (double)(resident_kib() - before) / (double)count);
    for (size_t i = 0; i < count; i++)
        sentinel_client_free(all[i]);
    free(all);
    return 0;
}

int main(int argc, char **argv) {
    static void *states[1024];
    if (argc != 4)
        return 2;
    size_t threads = (size_t)atoi(argv[2]);
    memset(value, 'v', sizeof(value));
    open_client();
    work_set("bench:0");
    if (strcmp(argv[1], "idle") == 0)
        return idle(threads);
    for (size_t i = 0; i < 1024; i++)
        states[i] = "bench:0";
    bench_work work = work_get;
    if (strcmp(argv[1], "set") == 0) {
        work = work_set;
    } else if (strcmp(argv[1], "batch") == 0) {
        work = work_batch;
    } else if (strcmp(argv[1], "large") == 0) {
        command(3, (const char *const[]){"SET", "bench:large", value}, (const size_t[]){3, 11, BENCH_LARGE}, NULL);
        states[0] = "bench:large";
    } else if (strcmp(argv[1], "list") == 0) {
        work = work_list;
        states[0] = "bench:list";
        command(2, (const char *const[]){"DEL", "bench:list"}, NULL, NULL);
        for (int i = 0; i < BENCH_LIST; i++)
            command(3, (const char *const[]){"RPUSH", "bench:list", "0123456789abcdef"}, NULL, NULL);
    } else if (strcmp(argv[1], "get") != 0) {
        return 2;
    }
    int status = bench_run(threads, atof(argv[3]), work, states);
    sentinel_client_free(client);
    sentinel_free(deployment);
    return status;
}
