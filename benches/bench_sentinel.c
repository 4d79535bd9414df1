/* bench_sentinel WORKLOAD THREADS SECONDS: libsentinel, one client for all threads. SERVICE and SENTINELS as `lab run`
 * sets them. A workload that this version of the library lacks prints "not in this version".
 * `bench_sentinel idle COUNT 0` prints the KiB that each further client takes: created only, and connected. */
#include "bench.h"

#include <sentinel.h>
#include <sys/resource.h>
#include <unistd.h>

static sentinel_t *deployment;
static sentinel_client_t *client;
static char value[BENCH_LARGE];
static size_t expected = BENCH_VALUE; /* bytes of what GET returns */

static void must(sentinel_status_t status, sentinel_error_t *error) {
    if (status != SENTINEL_OK)
        bench_fail(error != NULL ? sentinel_error_message(error, NULL) : sentinel_status_name(status));
}

static void command(size_t argc, const char *const *argv, const size_t *lens, sentinel_reply_t **reply) {
    sentinel_error_t *error = NULL;
    must(sentinel_command(client, argc, argv, lens, NULL, reply, &error), error);
}

static void check_value(const sentinel_reply_t *reply) {
    size_t len = 0;
    if (sentinel_reply_data(reply, &len) == NULL || len != expected)
        bench_fail("a value has another length");
}

/* The bytes of all elements, each of them a string; one crossing into the library for all. */
static size_t sum_elements(const sentinel_reply_t *reply, size_t elements) {
    size_t sum = 0, count = 0, stride = 0;
    const char *node = (const char *)sentinel_reply_nodes(reply, &count, &stride);
    if (count != elements + 1)
        bench_fail("a reply has another number of elements");
    for (size_t i = 1; i < count; i++) {
        const sentinel_reply_node_t *element = (const sentinel_reply_node_t *)(const void *)(node + i * stride);
        if (element->type != SENTINEL_REPLY_STRING)
            bench_fail("an element is no string");
        sum += element->len;
    }
    return sum;
}

static size_t work_get(void *key) {
    sentinel_reply_t *reply = NULL;
    command(2, (const char *const[]){"GET", key}, NULL, &reply);
    check_value(reply);
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
    if (sum_elements(reply, BENCH_BATCH) != (size_t)BENCH_BATCH * BENCH_VALUE)
        bench_fail("the values of a batch have another length");
    sentinel_reply_free(reply);
    return BENCH_BATCH;
}

static size_t work_list(void *key) {
    sentinel_reply_t *reply = NULL;
    command(4, (const char *const[]){"LRANGE", key, "0", "-1"}, NULL, &reply);
    if (sum_elements(reply, BENCH_LIST) != (size_t)BENCH_LIST * 16)
        bench_fail("a list has another length");
    sentinel_reply_free(reply);
    return 1;
}

/* Fills the window up and takes what has completed: a unit is one round of that. */
static size_t work_window(void *key) {
    static __thread sentinel_queue_t *queue;
    static __thread size_t under_way;
    sentinel_completion_t done[BENCH_WINDOW];
    sentinel_error_t *error = NULL;
    size_t count = 0, lens[] = {3, strlen(key)};
    char packed[64];
    int len = snprintf(packed, sizeof(packed), "GET%s", (const char *)key);
    if (queue == NULL)
        must(sentinel_queue_new(deployment, BENCH_WINDOW, &queue, &error), error);
    for (; under_way < BENCH_WINDOW; under_way++)
        must(sentinel_submit_queued(client, 2, lens, packed, (size_t)len, NULL, queue, 0, NULL, &error), error);
    must(sentinel_queue_poll(queue, done, sizeof(done[0]), BENCH_WINDOW, -1, &count), NULL);
    for (size_t i = 0; i < count; i++) {
        must(done[i].status, done[i].error);
        check_value(done[i].reply);
        sentinel_reply_free(done[i].reply);
    }
    under_way -= count;
    return count;
}

static int has_queues(void) {
    sentinel_queue_t *queue = NULL;
    sentinel_error_t *error = NULL;
    sentinel_completion_t done = {0};
    size_t count = 0;
    sentinel_status_t status = sentinel_queue_new(deployment, 1, &queue, &error);
    if (status == SENTINEL_OK)
        status = sentinel_submit_queued(client, 1, (const size_t[]){4}, "PING", 4, NULL, queue, 0, NULL, &error);
    if (status == SENTINEL_OK)
        status = sentinel_queue_poll(queue, &done, sizeof(done), 1, -1, &count);
    if (status != SENTINEL_ERR_UNAVAILABLE)
        must(status, error);
    sentinel_reply_free(done.reply);
    sentinel_error_free(done.error);
    sentinel_queue_free(queue);
    return status != SENTINEL_ERR_UNAVAILABLE;
}

/* A list of BENCH_LIST elements, made anew unless it is there already. */
static void fill_list(const char *key) {
    sentinel_reply_t *reply = NULL;
    command(2, (const char *const[]){"LLEN", key}, NULL, &reply);
    int64_t len = sentinel_reply_integer(reply);
    sentinel_reply_free(reply);
    if (len == BENCH_LIST)
        return;
    command(2, (const char *const[]){"DEL", key}, NULL, NULL);
    for (int i = 0; i < BENCH_LIST; i++)
        command(3, (const char *const[]){"RPUSH", key, "0123456789abcdef"}, NULL, NULL);
}

static void fill_large(const char *key) {
    sentinel_reply_t *reply = NULL;
    command(2, (const char *const[]){"STRLEN", key}, NULL, &reply);
    int64_t len = sentinel_reply_integer(reply);
    sentinel_reply_free(reply);
    if (len != BENCH_LARGE)
        command(3, (const char *const[]){"SET", key, value}, (const size_t[]){3, strlen(key), BENCH_LARGE}, NULL);
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

/* Two descriptors and more a client are beyond the usual soft limit. */
static void allow_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* What COUNT clients take beyond the first, which is connected and has served. */
static int idle(size_t count) {
    sentinel_error_t *error = NULL;
    sentinel_client_t **all = calloc(count, sizeof(*all));
    if (count == 0 || all == NULL)
        bench_fail("idle takes a number of clients");
    allow_descriptors();
    work_get("bench:0");
    long before = resident_kib();
    for (size_t i = 0; i < count; i++)
        must(sentinel_primary_for(deployment, getenv("SERVICE"), NULL, &all[i], &error), error);
    long created = resident_kib();
    for (size_t i = 0; i < count; i++)
        must(sentinel_client_connect(all[i], 0, &error), error);
    long connected = resident_kib();
    printf("%.1f %.1f\n", (double)(created - before) / (double)count, (double)(connected - before) / (double)count);
    for (size_t i = 0; i < count; i++)
        sentinel_client_free(all[i]);
    free(all);
    return 0;
}

int main(int argc, char **argv) {
    static void *states[1024];
    static const char *const workloads = "get|set|batch|window|large|list|idle";
    if (argc != 4)
        return bench_usage(argv[0], workloads);
    const char *workload = argv[1];
    char *key = "bench:0";
    bench_work work = work_get;
    memset(value, 'v', sizeof(value));
    open_client();
    work_set(key);
    if (strcmp(workload, "idle") == 0)
        return idle((size_t)atoi(argv[2]));
    if (strcmp(workload, "set") == 0) {
        work = work_set;
    } else if (strcmp(workload, "batch") == 0) {
        work = work_batch;
    } else if (strcmp(workload, "window") == 0) {
        work = work_window;
        if (!has_queues())
            return puts("not in this version") < 0;
    } else if (strcmp(workload, "large") == 0) {
        key = "bench:large";
        expected = BENCH_LARGE;
        fill_large(key);
    } else if (strcmp(workload, "list") == 0) {
        work = work_list;
        key = "bench:list";
        fill_list(key);
    } else if (strcmp(workload, "get") != 0) {
        return bench_usage(argv[0], workloads);
    }
    for (size_t i = 0; i < 1024; i++)
        states[i] = key;
    int status = bench_run((size_t)atoi(argv[2]), atof(argv[3]), work, states);
    sentinel_client_free(client);
    sentinel_free(deployment);
    return status;
}
