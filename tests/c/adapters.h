/*
 * What every adapter in C must do, on whichever loop. A test defines before it includes this:
 *
 *   loop_t, adapter_t                   the loop, and the adapter
 *   loop_new, loop_free                 free: also with handles that close in one more turn
 *   loop_run, loop_stop                 run until stopped; stop from a callback
 *   ticker_t, ticker_new, ticker_free   calls a function of user_data every so many milliseconds; 0: in every turn
 *   loop_forked                         in a child, before anything else there
 *   attach, detach, on_end              the adapter's own
 *   FREE_LOOP_FIRST                     1: a loop may be freed before its adapter is detached
 *   RUN_IN_CHILD                        1: a child can run the loop that it has inherited
 *   COPIES                              1: an attachment takes a descriptor of its own
 */
#ifndef ADAPTERS_H
#define ADAPTERS_H

#include <poll.h>
#include <pthread.h>

#include "live.h"

#define EACH 1000
#define KILL_AFTER 300

static sentinel_t *sentinel;
static sentinel_client_t *client;

static sentinel_queue_t *new_queue(size_t capacity)
{
    sentinel_queue_t *queue = NULL;
    sentinel_error_t *error = NULL;

    CHECK_OK(sentinel_queue_new(sentinel, capacity, &queue, &error), &error);
    return queue;
}

/* An ECHO of its tag, which may be repeated: a failover loses none. */
static void submit(sentinel_queue_t *queue, uint64_t tag)
{
    sentinel_call_t call = SENTINEL_CALL_INIT;
    sentinel_error_t *error = NULL;
    char data[32];
    size_t lens[2] = {4, 0};

    call.flags = SENTINEL_CALL_RETRY_UNKNOWN;
    lens[1] = (size_t)snprintf(data, sizeof data, "ECHO%llu", (unsigned long long)tag) - 4;
    CHECK_OK(sentinel_submit_queued(client, 2, lens, data, 4 + lens[1], &call, queue, tag, NULL, &error), &error);
}

/* Which of the tags below `size` were answered, each with its own text. */
struct seen {
    char *tags;
    size_t size, count;
};

static struct seen seen_new(size_t size)
{
    struct seen seen = {calloc(size, 1), size, 0};

    CHECK(seen.tags != NULL);
    return seen;
}

static void see(struct seen *seen, sentinel_completion_t *one)
{
    char text[32];

    if (one->status != SENTINEL_OK) {
        fprintf(stderr, "call %llu: %s\n", (unsigned long long)one->tag, sentinel_error_message(one->error, NULL));
    }
    CHECK_EQUAL(SENTINEL_OK, one->status);
    CHECK_EQUAL(SENTINEL_COMPLETION_CALL, one->kind);
    CHECK(one->error == NULL && one->tag < seen->size && !seen->tags[one->tag]);
    snprintf(text, sizeof text, "%llu", (unsigned long long)one->tag);
    CHECK_TEXT(text, one->reply);
    seen->tags[one->tag] = 1;
    seen->count++;
    sentinel_reply_free(one->reply);
}

/* What is not attached is polled until all are seen, and no one too many. */
static void see_rest(struct seen *seen, sentinel_queue_t *queue)
{
    sentinel_completion_t one;

    while (seen->count < seen->size) {
        CHECK_STATUS(SENTINEL_OK, sentinel_queue_poll(queue, &one, sizeof one, 1, 60000, NULL));
        see(seen, &one);
    }
    CHECK_STATUS(SENTINEL_EMPTY, sentinel_queue_poll(queue, &one, sizeof one, 1, 0, NULL));
    free(seen->tags);
}

/* Whether anything waits in the queue now, or within that time. */
static int readable(sentinel_queue_t *queue, int timeout_ms)
{
    struct pollfd entry = {sentinel_queue_fd(queue), POLLIN, 0};

    return poll(&entry, 1, timeout_ms) == 1;
}

static adapter_t *attached(loop_t *loop, sentinel_queue_t *queue, sentinel_done_fn done, void *user_data)
{
    adapter_t *adapter = NULL;

    CHECK_STATUS(SENTINEL_OK, attach(loop, queue, done, user_data, &adapter));
    CHECK(adapter != NULL);
    return adapter;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Calls of two threads, messages and events, while the primary is killed. */

struct story {
    loop_t *loop;
    pthread_t loop_thread;
    sentinel_queue_t *calls, *news;
    sentinel_subscription_t *subscription;
    struct seen seen;
    uint64_t submitted; /* by the loop's thread */
    unsigned long ticks;
    pthread_t other;
    int changed, gap, heard;
};

static void *submit_from_another_thread(void *data)
{
    struct story *story = data;
    const char *lab = getenv("LAB");
    char command[600];
    int i;

    for (i = 0; i < EACH; i++) {
        if (i == KILL_AFTER) {
            CHECK(lab != NULL && strlen(lab) < 500);
            snprintf(command, sizeof command, "\"%s\" ctl kill-primary >/dev/null", lab);
            CHECK_EQUAL(0, system(command));
        }
        submit(story->calls, (uint64_t)(EACH + i));
    }
    return NULL;
}

static void end_of_story(struct story *story)
{
    if (story->seen.count == 2 * EACH && story->changed && story->heard) {
        loop_stop(story->loop);
    }
}

static void on_call(void *user_data, sentinel_completion_t *completion)
{
    struct story *story = user_data;

    CHECK(pthread_equal(pthread_self(), story->loop_thread));
    see(&story->seen, completion);
    end_of_story(story);
}

static void publish(void)
{
    const size_t lens[] = {7, 4, 4};

    sentinel_queue_t *nowhere = new_queue(1);

    CHECK_STATUS(SENTINEL_OK,
                 sentinel_submit_queued(client, 3, lens, "PUBLISHnewsword", 15, NULL, nowhere, 0, NULL, NULL));
    sentinel_queue_free(nowhere);
}

static void on_news(void *user_data, sentinel_completion_t *completion)
{
    struct story *story = user_data;

    CHECK(pthread_equal(pthread_self(), story->loop_thread));
    CHECK_EQUAL(SENTINEL_OK, completion->status);
    if (completion->tag == 1) {
        CHECK_EQUAL(SENTINEL_COMPLETION_EVENT, completion->kind);
        story->changed = 1;
    } else if (completion->kind == SENTINEL_COMPLETION_MESSAGE) {
        CHECK_TEXT("word", sentinel_reply_at(completion->reply, 2));
        story->heard = story->gap; /* by the new primary */
    } else {
        const char *event = sentinel_reply_data(sentinel_reply_get(completion->reply, "event", 5), NULL);

        if (strcmp(event, "subscribed") == 0) {
            CHECK(pthread_create(&story->other, NULL, submit_from_another_thread, story) == 0);
        }
        story->gap |= strcmp(event, "subscription_gap") == 0;
    }
    sentinel_reply_free(completion->reply);
    end_of_story(story);
}

static void on_tick(void *user_data)
{
    struct story *story = user_data;

    if (++story->ticks % 50 == 0) {
        publish();
    }
    if (story->submitted < EACH) {
        submit(story->calls, story->submitted++);
    }
}

static void through_a_failover(void)
{
    struct story story;
    sentinel_error_t *error = NULL;
    adapter_t *calls, *news;
    ticker_t *ticker;

    memset(&story, 0, sizeof story);
    story.loop = loop_new();
    story.loop_thread = pthread_self();
    story.calls = new_queue(2 * EACH);
    story.news = new_queue(64);
    story.seen = seen_new(2 * EACH);
    calls = attached(story.loop, story.calls, on_call, &story);
    news = attached(story.loop, story.news, on_news, &story);
    ticker = ticker_new(story.loop, 1, on_tick, &story);
    CHECK_OK(sentinel_watch_events(sentinel, SENTINEL_EVENT_PRIMARY_CHANGED, story.news, 1, &error), &error);
    CHECK_OK(sentinel_subscription_new(client, story.news, 2, &story.subscription, &error), &error);
    CHECK_OK(sentinel_subscription_add(story.subscription, SENTINEL_SUBSCRIBE_CHANNEL | SENTINEL_SUBSCRIBE_CONFIRM,
                                       "news", 4, &error), &error);
    loop_run(story.loop);
    CHECK(pthread_join(story.other, NULL) == 0);
    CHECK(story.ticks >= EACH);
    ticker_free(ticker);
    detach(calls);
    detach(news);
    see_rest(&story.seen, story.calls);
    sentinel_subscription_free(story.subscription);
    sentinel_queue_free(story.calls);
    sentinel_queue_free(story.news);
    loop_free(story.loop);
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Detaching: from the function, and with calls under way. */

struct leaving {
    loop_t *loop;
    adapter_t *adapter;
    sentinel_queue_t *queue;
    struct seen seen;
    size_t leave_at;
    int free_all;
};

static void on_leaving(void *user_data, sentinel_completion_t *completion)
{
    struct leaving *leaving = user_data;

    CHECK(leaving->adapter != NULL); /* nothing is called after that */
    see(&leaving->seen, completion);
    if (leaving->seen.count == leaving->leave_at) {
        detach(leaving->adapter);
        leaving->adapter = NULL;
        if (leaving->free_all) {
            sentinel_queue_free(leaving->queue);
            leaving->queue = NULL;
        }
        loop_stop(leaving->loop);
    }
}

/* What was not handed over is in the queue, for whoever comes: another attachment, then a poll. */
static void detached_in_the_function(void)
{
    struct leaving leaving = {loop_new(), NULL, new_queue(EACH), seen_new(EACH), 10, 0};
    int i;

    for (i = 0; i < EACH; i++) {
        submit(leaving.queue, (uint64_t)i);
    }
    while (leaving.leave_at < EACH) {
        leaving.adapter = attached(leaving.loop, leaving.queue, on_leaving, &leaving);
        loop_run(leaving.loop);
        CHECK_EQUAL(leaving.leave_at, leaving.seen.count);
        leaving.leave_at += 99;
    }
    see_rest(&leaving.seen, leaving.queue);
    sentinel_queue_free(leaving.queue);
    loop_free(leaving.loop);
}

/* The function frees all that it was called for. */
static void freed_in_the_function(void)
{
    struct leaving leaving = {loop_new(), NULL, new_queue(EACH), seen_new(EACH), 1, 1};
    int i;

    leaving.adapter = attached(leaving.loop, leaving.queue, on_leaving, &leaving);
    for (i = 0; i < EACH; i++) {
        submit(leaving.queue, (uint64_t)i);
    }
    loop_run(leaving.loop);
    CHECK(leaving.queue == NULL);
    CHECK_EQUAL(1, leaving.seen.count);
    free(leaving.seen.tags);
    loop_free(leaving.loop);
}

static void never(void *user_data, sentinel_completion_t *completion)
{
    (void)user_data;
    (void)completion;
    CHECK(!"called after it was detached");
}

static void detached_with_calls_under_way(void)
{
    loop_t *loop = loop_new();
    sentinel_queue_t *queue = new_queue(EACH);
    struct seen seen = seen_new(EACH);
    adapter_t *adapter = attached(loop, queue, never, NULL);
    int i;

    for (i = 0; i < EACH; i++) {
        submit(queue, (uint64_t)i);
    }
    detach(adapter);
    see_rest(&seen, queue);
    sentinel_queue_free(queue);
    loop_free(loop);
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* More than one queue, more than one attachment. */

struct pair {
    loop_t *loop;
    struct half {
        struct pair *pair;
        adapter_t *adapter;
        sentinel_queue_t *queue;
        struct seen seen;
        struct half *other;
    } halves[2];
    size_t all;
};

static struct pair *pair_new(size_t each)
{
    struct pair *pair = calloc(1, sizeof *pair);
    int i;

    CHECK(pair != NULL);
    pair->loop = loop_new();
    pair->all = 2 * each;
    for (i = 0; i < 2; i++) {
        pair->halves[i].pair = pair;
        pair->halves[i].queue = new_queue(each);
        pair->halves[i].seen = seen_new(each);
        pair->halves[i].other = &pair->halves[1 - i];
    }
    return pair;
}

static void pair_free(struct pair *pair)
{
    int i;

    for (i = 0; i < 2; i++) {
        detach(pair->halves[i].adapter);
        see_rest(&pair->halves[i].seen, pair->halves[i].queue);
        sentinel_queue_free(pair->halves[i].queue);
    }
    loop_free(pair->loop);
    free(pair);
}

static void on_half(void *user_data, sentinel_completion_t *completion)
{
    struct half *half = user_data;

    see(&half->seen, completion);
    if (half->seen.count + half->other->seen.count == half->pair->all) {
        loop_stop(half->pair->loop);
    }
}

static void two_queues_on_one_loop(void)
{
    struct pair *pair = pair_new(EACH);
    int i;

    for (i = 0; i < 2; i++) {
        pair->halves[i].adapter = attached(pair->loop, pair->halves[i].queue, on_half, &pair->halves[i]);
    }
    for (i = 0; i < 2 * EACH; i++) {
        submit(pair->halves[i % 2].queue, (uint64_t)(i / 2));
    }
    loop_run(pair->loop);
    CHECK(pair->halves[0].seen.count == EACH && pair->halves[1].seen.count == EACH);
    pair_free(pair);
}

static void on_rival(void *user_data, sentinel_completion_t *completion)
{
    struct half *half = user_data;

    CHECK(half->adapter != NULL);
    see(&half->seen, completion);
    detach(half->other->adapter); /* is ready in the same turn */
    half->other->adapter = NULL;
    if (half->seen.count == half->seen.size) {
        loop_stop(half->pair->loop);
    }
}

/* Both are readable when the loop looks; the one that is called first detaches the other. */
static void one_detaches_the_other(void)
{
    struct pair *pair = pair_new(EACH / 10);
    int i, k;

    for (i = 0; i < 2; i++) {
        for (k = 0; k < EACH / 10; k++) {
            submit(pair->halves[i].queue, (uint64_t)k);
        }
        pair->halves[i].adapter = attached(pair->loop, pair->halves[i].queue, on_rival, &pair->halves[i]);
        CHECK(readable(pair->halves[i].queue, 60000));
    }
    loop_run(pair->loop);
    CHECK(pair->halves[0].seen.count == 0 || pair->halves[1].seen.count == 0);
    pair_free(pair);
}

/* Twice on one loop: each completion reaches one of them. */
static void one_queue_attached_twice(void)
{
    struct pair *pair = pair_new(EACH);
    struct half *half = &pair->halves[0];
    adapter_t *again;
    int i;

    pair->all = EACH;
    half->adapter = attached(pair->loop, half->queue, on_half, half);
    again = attached(pair->loop, half->queue, on_half, half);
    for (i = 0; i < EACH; i++) {
        submit(half->queue, (uint64_t)i);
    }
    loop_run(pair->loop);
    detach(half->adapter); /* the other one goes on */
    half->adapter = NULL;
    pair->all += EACH;
    for (i = 0; i < EACH; i++) {
        half->seen.tags[i] = 0;
        submit(half->queue, (uint64_t)i);
    }
    loop_run(pair->loop);
    detach(again);
    half->seen.count -= EACH;
    for (i = 0; i < EACH; i++) {
        submit(half->other->queue, (uint64_t)i);
    }
    pair_free(pair);
}
#endif
