/*
 * What an adapter does under what programs do wrong, or at the edge. Included behind "adapters.h".
 */
#ifndef ADAPTERS_MISUSE_H
#define ADAPTERS_MISUSE_H

#include <sys/resource.h>
#include <sys/wait.h>

#define BUSY 5000
/* A race is to be seen. */
#define CLOSED 100

/* ------------------------------------------------------------------------------------------------------------------ */
/* A queue that is never empty. */

struct busy {
    loop_t *loop;
    sentinel_queue_t *queue;
    struct seen seen;
    uint64_t submitted;
    size_t between, most; /* completions between two ticks */
    unsigned long ticks;
};

static void on_busy(void *user_data, sentinel_completion_t *completion)
{
    struct busy *busy = user_data;

    see(&busy->seen, completion);
    if (++busy->between > busy->most) {
        busy->most = busy->between;
    }
    if (busy->submitted < BUSY) {
        submit(busy->queue, busy->submitted++);
    }
    if (busy->seen.count == BUSY) {
        loop_stop(busy->loop);
    } else {
        CHECK(readable(busy->queue, 60000)); /* whoever takes until nothing is there never ends */
    }
}

static void on_busy_tick(void *user_data)
{
    struct busy *busy = user_data;

    busy->ticks++;
    busy->between = 0;
}

static void timers_have_their_turns(void)
{
    struct busy busy;
    adapter_t *adapter;
    ticker_t *ticker;

    memset(&busy, 0, sizeof busy);
    busy.loop = loop_new();
    busy.queue = new_queue(BUSY);
    busy.seen = seen_new(BUSY);
    while (busy.submitted < 200) {
        submit(busy.queue, busy.submitted++);
    }
    ticker = ticker_new(busy.loop, 0, on_busy_tick, &busy);
    adapter = attached(busy.loop, busy.queue, on_busy, &busy);
    loop_run(busy.loop);
    ticker_free(ticker);
    detach(adapter);
    CHECK_EQUAL(BUSY, busy.seen.count);
    if (busy.most > 2 * SENTINEL_ADAPTER_TURN) {
        fprintf(stderr, "%zu completions between two of %lu turns of a timer\n", busy.most, busy.ticks);
        exit(1);
    }
    see_rest(&busy.seen, busy.queue);
    sentinel_queue_free(busy.queue);
    loop_free(busy.loop);
}

/* On the loops of two threads: each completion reaches one of them. */
struct shared {
    pthread_mutex_t lock;
    sentinel_queue_t *queue;
    struct seen seen;
};

struct worker {
    struct shared *shared;
    loop_t *loop;
};

static void on_shared(void *user_data, sentinel_completion_t *completion)
{
    struct worker *worker = user_data;

    pthread_mutex_lock(&worker->shared->lock);
    see(&worker->shared->seen, completion);
    pthread_mutex_unlock(&worker->shared->lock);
}

/* A loop is stopped by its own thread. */
static void on_shared_tick(void *user_data)
{
    struct worker *worker = user_data;

    pthread_mutex_lock(&worker->shared->lock);
    if (worker->shared->seen.count == EACH) {
        loop_stop(worker->loop);
    }
    pthread_mutex_unlock(&worker->shared->lock);
}

static void *work(void *shared)
{
    struct worker worker = {shared, loop_new()};
    adapter_t *adapter = attached(worker.loop, worker.shared->queue, on_shared, &worker);
    ticker_t *ticker = ticker_new(worker.loop, 1, on_shared_tick, &worker);

    loop_run(worker.loop);
    ticker_free(ticker);
    detach(adapter);
    loop_free(worker.loop);
    return NULL;
}

static void on_the_loops_of_two_threads(void)
{
    struct shared shared;
    pthread_t threads[2];
    int i;

    pthread_mutex_init(&shared.lock, NULL);
    shared.queue = new_queue(EACH);
    shared.seen = seen_new(EACH);
    for (i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, &shared) == 0);
    }
    for (i = 0; i < EACH; i++) {
        submit(shared.queue, (uint64_t)i);
    }
    for (i = 0; i < 2; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    see_rest(&shared.seen, shared.queue);
    sentinel_queue_free(shared.queue);
}

/* The function of one queue attaches the other, and detaches its own twice. */
static void on_relay(void *user_data, sentinel_completion_t *completion)
{
    struct half *half = user_data;
    adapter_t *own = half->adapter;
    int reused;

    CHECK(own != NULL);
    see(&half->seen, completion);
    half->other->adapter = attached(half->pair->loop, half->other->queue, on_half, half->other);
    half->adapter = NULL;
    detach(own);
    reused = dup(0); /* has the number that is free now */
    detach(own);
    CHECK(close(reused) == 0);
    half->pair->all = half->seen.count + half->other->seen.size;
}

static void attached_in_the_function(void)
{
    struct pair *pair = pair_new(EACH);
    int i;

    pair->halves[0].adapter = attached(pair->loop, pair->halves[0].queue, on_relay, &pair->halves[0]);
    for (i = 0; i < 2 * EACH; i++) {
        submit(pair->halves[i % 2].queue, (uint64_t)(i / 2));
    }
    loop_run(pair->loop);
    CHECK_EQUAL(1, pair->halves[0].seen.count);
    pair_free(pair);
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Arguments, and descriptors. */

static void refused(loop_t *loop, sentinel_queue_t *queue, sentinel_status_t expected, int cause)
{
    adapter_t *adapter = NULL;

    errno = 0;
    CHECK_STATUS(expected, attach(loop, queue, never, NULL, &adapter));
    CHECK(adapter == NULL);
    CHECK_EQUAL(cause, errno);
}

static void bad_arguments(void)
{
    loop_t *loop = loop_new();
    sentinel_queue_t *queue = new_queue(1);
    adapter_t *adapter = NULL;

    refused(loop, NULL, SENTINEL_ERR_NULL_ARGUMENT, 0);
    CHECK_STATUS(SENTINEL_ERR_NULL_ARGUMENT, attach(loop, queue, NULL, NULL, &adapter));
    CHECK_STATUS(SENTINEL_ERR_NULL_ARGUMENT, attach(loop, queue, never, NULL, NULL));
#ifndef NULL_IS_A_LOOP
    refused(NULL, queue, SENTINEL_ERR_NULL_ARGUMENT, 0);
#endif
    CHECK(adapter == NULL);
    detach(NULL);
    on_end(NULL, NULL);
    CHECK(inner(NULL) == NULL);
    adapter = attached(loop, queue, never, NULL);
    CHECK(inner(adapter) != NULL);
    detach(adapter);
    sentinel_queue_free(queue);
    loop_free(loop);
}

static void no_descriptor_left(void)
{
    loop_t *loop = loop_new();
    sentinel_queue_t *queues[2] = {new_queue(1), new_queue(1)};
    struct rlimit limit, few;
    int i;

    CHECK(sentinel_queue_fd(queues[0]) >= 0); /* of the other not even the first is to be had */
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    few = limit;
    few.rlim_cur = 1;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    if (COPIES) {
        refused(loop, queues[0], SENTINEL_ERR_INTERNAL, EMFILE);
    }
    refused(loop, queues[1], SENTINEL_ERR_INTERNAL, EMFILE);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    few.rlim_cur = 256; /* a descriptor that is left open shows */
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    for (i = 0; i < 1000; i++) {
        detach(attached(loop, queues[i % 2], never, NULL));
    }
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    sentinel_queue_free(queues[0]);
    sentinel_queue_free(queues[1]);
    loop_free(loop);
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Ends: of the deployment, of the loop, of the process that it was made in. */

struct ending {
    loop_t *loop;
    adapter_t *adapter;
    int closed, told;
    sentinel_status_t why;
    unsigned long ticks;
};

static void on_closed(void *user_data, sentinel_completion_t *completion)
{
    struct ending *ending = user_data;

    CHECK_EQUAL(SENTINEL_ERR_CLOSED, completion->status);
    CHECK(!ending->told);
    ending->closed++;
    sentinel_error_free(completion->error);
}

static void on_the_end(void *user_data, sentinel_status_t status)
{
    struct ending *ending = user_data;

    ending->told++;
    ending->why = status;
    if (status == SENTINEL_ERR_CLOSED) {
        detach(ending->adapter);
    }
}

/* A few turns after the end: it is told once, whether detached or not. */
static void on_end_tick(void *user_data)
{
    struct ending *ending = user_data;

    if (ending->told && ++ending->ticks == 3) {
        loop_stop(ending->loop);
    }
}

/* With as many calls under way as fill a turn, and with fewer. */
static void the_deployment_is_closed(int argc, char **argv, int calls)
{
    struct ending ending = {loop_new(), NULL, 0, 0, 0, 0};
    sentinel_t *deployment = live_open(argc, argv);
    sentinel_client_t *primary = live_primary(deployment, argv[1]);
    sentinel_queue_t *queue = NULL;
    const size_t lens[] = {5, 4, 1};
    adapter_t *again = NULL;
    ticker_t *ticker;
    int i;

    CHECK_STATUS(SENTINEL_OK, sentinel_queue_new(deployment, (size_t)calls, &queue, NULL));
    ending.adapter = attached(ending.loop, queue, on_closed, &ending);
    on_end(ending.adapter, on_the_end);
    ticker = ticker_new(ending.loop, 1, on_end_tick, &ending);
    for (i = 0; i < calls; i++) {
        CHECK_STATUS(SENTINEL_OK,
                     sentinel_submit_queued(primary, 3, lens, "BLPOPnone0", 10, NULL, queue, 0, NULL, NULL));
    }
    CHECK_STATUS(SENTINEL_OK, sentinel_close(deployment, 30000));
    loop_run(ending.loop);
    CHECK(ending.closed == calls && ending.told == 1);
    CHECK_EQUAL(SENTINEL_ERR_CLOSED, ending.why);
    CHECK_STATUS(SENTINEL_ERR_CLOSED, attach(ending.loop, queue, on_closed, &ending, &again));
    CHECK(again == NULL);
    ticker_free(ticker);
    loop_free(ending.loop);
    sentinel_queue_free(queue);
    sentinel_client_free(primary);
    sentinel_free(deployment);
}

struct closing {
    sentinel_t *deployment;
    sentinel_queue_t *queue;
    struct ending *ending;
    unsigned long patience;
};

static void *close_from_another_thread(void *data)
{
    struct closing *closing = data;

    CHECK_STATUS(SENTINEL_OK, sentinel_close(closing->deployment, 30000));
    return NULL;
}

static void on_closing_tick(void *user_data)
{
    struct closing *closing = user_data;

    CHECK(closing->patience-- > 0);
    if (closing->ending->told) {
        loop_stop(closing->ending->loop);
    }
}

/*
 * The loop takes the last completion while another thread is still in sentinel_close: nothing becomes readable after it,
 * so that look must find the end.
 */
static void closed_by_another_thread(int argc, char **argv)
{
    struct ending ending = {loop_new(), NULL, 0, 0, 0, 0};
    struct closing closing = {live_open(argc, argv), NULL, &ending, 20000};
    sentinel_client_t *primary = live_primary(closing.deployment, argv[1]);
    const size_t lens[] = {5, 4, 1};
    ticker_t *ticker;
    pthread_t thread;

    CHECK_STATUS(SENTINEL_OK, sentinel_queue_new(closing.deployment, 1, &closing.queue, NULL));
    ending.adapter = attached(ending.loop, closing.queue, on_closed, &ending);
    on_end(ending.adapter, on_the_end);
    ticker = ticker_new(ending.loop, 1, on_closing_tick, &closing);
    CHECK_STATUS(SENTINEL_OK,
                 sentinel_submit_queued(primary, 3, lens, "BLPOPnone0", 10, NULL, closing.queue, 0, NULL, NULL));
    CHECK(pthread_create(&thread, NULL, close_from_another_thread, &closing) == 0);
    loop_run(ending.loop);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(ending.closed == 1 && ending.told == 1);
    CHECK_EQUAL(SENTINEL_ERR_CLOSED, ending.why);
    ticker_free(ticker);
    loop_free(ending.loop);
    sentinel_queue_free(closing.queue);
    sentinel_client_free(primary);
    sentinel_free(closing.deployment);
}

static void the_loop_is_freed_first(void)
{
    if (FREE_LOOP_FIRST) {
        loop_t *loop = loop_new();
        sentinel_queue_t *queue = new_queue(1);
        struct seen seen = seen_new(1);
        adapter_t *adapter = attached(loop, queue, never, NULL);

        submit(queue, 0);
        loop_free(loop);
        detach(adapter);
        see_rest(&seen, queue);
        sentinel_queue_free(queue);
    }
}

/* Never returns. Another program ends the child: no tool looks for what it has inherited. */
static void child(struct ending *ending, sentinel_queue_t *queue)
{
    if (RUN_IN_CHILD) {
        adapter_t *again = NULL;

        loop_forked(ending->loop);
        CHECK_STATUS(SENTINEL_ERR_FORKED, attach(ending->loop, queue, never, NULL, &again));
        on_end(ending->adapter, on_the_end);
        ticker_new(ending->loop, 1, on_end_tick, ending);
        loop_run(ending->loop); /* readable, for the parent has left something there */
        CHECK(ending->told == 1);
        CHECK_EQUAL(SENTINEL_ERR_FORKED, ending->why);
    }
    detach(ending->adapter);
    sentinel_queue_free(queue);
    execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
    _exit(1);
}

static void in_a_forked_child(void)
{
    struct leaving leaving = {loop_new(), NULL, new_queue(EACH), seen_new(EACH), EACH, 0};
    struct ending ending;
    int status = -1, i;
    pid_t pid;

    memset(&ending, 0, sizeof ending);
    leaving.adapter = attached(leaving.loop, leaving.queue, on_leaving, &leaving);
    submit(leaving.queue, 0);
    CHECK(readable(leaving.queue, 60000));
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        ending.loop = leaving.loop;
        ending.adapter = leaving.adapter;
        ending.adapter->common.user_data = &ending;
        child(&ending, leaving.queue);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    for (i = 1; i < EACH; i++) {
        submit(leaving.queue, (uint64_t)i);
    }
    loop_run(leaving.loop); /* the child has taken nothing, and ended nobody's watch */
    see_rest(&leaving.seen, leaving.queue);
    sentinel_queue_free(leaving.queue);
    loop_free(leaving.loop);
}

int main(int argc, char **argv)
{
    int i;

    sentinel = live_open(argc, argv);
    client = live_primary(sentinel, argv[1]);
    through_a_failover();
    detached_in_the_function();
    freed_in_the_function();
    detached_with_calls_under_way();
    two_queues_on_one_loop();
    one_detaches_the_other();
    one_queue_attached_twice();
    attached_in_the_function();
    on_the_loops_of_two_threads();
    timers_have_their_turns();
    bad_arguments();
    no_descriptor_left();
    the_deployment_is_closed(argc, argv, 3);
    the_deployment_is_closed(argc, argv, SENTINEL_ADAPTER_TURN);
    for (i = 0; i < CLOSED; i++) {
        closed_by_another_thread(argc, argv);
    }
    the_loop_is_freed_first();
    in_a_forked_child();
    sentinel_client_free(client);
    CHECK_STATUS(SENTINEL_OK, sentinel_close(sentinel, 30000));
    sentinel_free(sentinel);
    return 0;
}

#endif
