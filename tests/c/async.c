/*
 * needs: topology. Called with SERVICE HOST:PORT... Calls that do not wait: through a queue and its descriptor, through
 * callbacks, cancelled, and left behind by whatever is freed first.
 */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "live.h"

#define CALLS 2000

/* An entry of a later version of the header: longer than this one's. */
struct long_entry {
    sentinel_completion_t completion;
    uint64_t more[3];
};

static sentinel_queue_t *new_queue(sentinel_t *sentinel, size_t capacity)
{
    sentinel_queue_t *queue = NULL;
    sentinel_error_t *error = NULL;

    CHECK_OK(sentinel_queue_new(sentinel, capacity, &queue, &error), &error);
    return queue;
}

static uint64_t submit(sentinel_client_t *client, sentinel_queue_t *queue, uint64_t tag, const char *name,
                       const char *argument)
{
    size_t lens[2];
    char data[256];
    sentinel_error_t *error = NULL;
    uint64_t id = 0;

    lens[0] = strlen(name);
    lens[1] = strlen(argument);
    snprintf(data, sizeof data, "%s%s", name, argument);
    CHECK_OK(sentinel_submit_queued(client, 2, lens, data, strlen(data), NULL, queue, tag, &id, &error), &error);
    memset(data, 'x', sizeof data); /* copied before the call returned */
    CHECK(id != 0);
    return id;
}

static int readable(sentinel_queue_t *queue, int timeout_ms)
{
    struct pollfd entry;

    entry.fd = sentinel_queue_fd(queue);
    entry.events = POLLIN;
    CHECK(entry.fd >= 0);
    return poll(&entry, 1, timeout_ms) == 1;
}

static void a_thousand_calls_at_once(sentinel_t *sentinel, sentinel_client_t *client)
{
    static char seen[CALLS];
    sentinel_queue_t *queue = new_queue(sentinel, CALLS);
    struct long_entry entries[64];
    size_t count, total = 0, i;
    uint64_t tag;

    CHECK(!readable(queue, 0));
    for (tag = 0; tag < CALLS; tag++) {
        char number[32];

        snprintf(number, sizeof number, "%d", (int)tag);
        submit(client, queue, tag, "ECHO", number);
    }
    memset(seen, 0, sizeof seen);
    while (total < CALLS) {
        CHECK(readable(queue, 30000));
        memset(entries, 0x7f, sizeof entries);
        CHECK_STATUS(SENTINEL_OK, sentinel_queue_poll(queue, &entries[0].completion, sizeof entries[0], 64, 0, &count));
        CHECK(count > 0 && count <= 64);
        for (i = 0; i < count; i++) {
            sentinel_completion_t *one = &entries[i].completion;
            char number[32];

            snprintf(number, sizeof number, "%d", (int)one->tag);
            CHECK_EQUAL(SENTINEL_COMPLETION_CALL, one->kind);
            CHECK_EQUAL(SENTINEL_OK, one->status);
            CHECK(one->error == NULL);
            CHECK_TEXT(number, one->reply);
            CHECK(!seen[one->tag]);
            seen[one->tag] = 1;
            CHECK_EQUAL(0x7f7f7f7f7f7f7f7f, entries[i].more[0]);
            sentinel_reply_free(one->reply);
        }
        total += count;
    }
    CHECK(!readable(queue, 0));
    CHECK_STATUS(SENTINEL_EMPTY, sentinel_queue_poll(queue, &entries[0].completion, sizeof entries[0], 64, 0, &count));
    CHECK_EQUAL(0, count);
    CHECK_STATUS(SENTINEL_EMPTY, sentinel_queue_poll(queue, &entries[0].completion, sizeof entries[0], 64, 20, NULL));
    sentinel_queue_free(queue);
}

static void failures_batches_and_cancelled_calls(sentinel_t *sentinel, sentinel_client_t *client)
{
    sentinel_queue_t *queue = new_queue(sentinel, 3);
    sentinel_batch_t *batch = sentinel_batch_new(SENTINEL_BATCH_PIPELINE);
    sentinel_error_t *error = NULL;
    sentinel_completion_t entry;
    const size_t lens[] = {5, 4, 1};
    uint64_t id = 0;
    size_t count = 0;
    int seen = 0;

    DO(client, "SET", "async:text", "x");
    submit(client, queue, 1, "LLEN", "async:text");
    CHECK_STATUS(SENTINEL_OK, sentinel_batch_add(batch, SENTINEL_ARGS("ECHO", "one"), NULL));
    CHECK_STATUS(SENTINEL_OK, sentinel_batch_add(batch, SENTINEL_ARGS("ECHO", "two"), NULL));
    CHECK_OK(sentinel_submit_batch(client, batch, NULL, queue, 2, &id, &error), &error);
    sentinel_batch_free(batch);
    CHECK_OK(sentinel_submit_queued(client, 3, lens, "BLPOPnone0", 10, NULL, queue, 3, &id, &error), &error);
    CHECK_FAILS(SENTINEL_ERR_QUEUE_FULL, "3", sentinel_submit_queued(client, 3, lens, "BLPOPnone0", 10, NULL, queue, 4,
                NULL, &error), &error);
    CHECK_STATUS(SENTINEL_OK, sentinel_cancel(client, id));
    CHECK_STATUS(SENTINEL_ERR_INVALID_ARGUMENT, sentinel_cancel(client, 0));
    while (seen < 3) {
        CHECK_STATUS(SENTINEL_OK, sentinel_queue_poll(queue, &entry, sizeof entry, 1, 30000, &count));
        CHECK_EQUAL(1, count);
        switch (entry.tag) {
            case 1:
                CHECK_EQUAL(SENTINEL_ERR_SERVER, entry.status);
                CHECK(entry.reply == NULL);
                CHECK(strcmp(sentinel_error_server_code(entry.error, NULL), "WRONGTYPE") == 0);
                CHECK_EQUAL(SENTINEL_OUTCOME_REFUSED, sentinel_error_outcome(entry.error));
                break;
            case 2:
                CHECK_EQUAL(SENTINEL_OK, entry.status);
                CHECK_EQUAL(2, sentinel_reply_len(entry.reply));
                CHECK_TEXT("two", sentinel_reply_at(entry.reply, 1));
                break;
            case 3: CHECK_EQUAL(SENTINEL_ERR_CANCELLED, entry.status); break;
            default: CHECK(!"a tag that nobody gave");
        }
        sentinel_reply_free(entry.reply);
        sentinel_error_free(entry.error);
        seen++;
    }
    CHECK_STATUS(SENTINEL_OK, sentinel_cancel(client, id)); /* it has completed */
    sentinel_queue_free(queue);
}

struct story {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    sentinel_t *sentinel;
    sentinel_client_t *client;
    int ended;
};

static void end(struct story *story)
{
    pthread_mutex_lock(&story->lock);
    story->ended++;
    pthread_cond_signal(&story->changed);
    pthread_mutex_unlock(&story->lock);
}

static void second(void *user_data, sentinel_completion_t *completion)
{
    CHECK_EQUAL(SENTINEL_OK, completion->status);
    CHECK_TEXT("second", completion->reply);
    sentinel_reply_free(completion->reply);
    end(user_data);
}

static void first(void *user_data, sentinel_completion_t *completion)
{
    struct story *story = user_data;
    sentinel_error_t *error = NULL;
    sentinel_reply_t *reply = NULL;

    CHECK_EQUAL(SENTINEL_OK, completion->status);
    CHECK_TEXT("first", completion->reply);
    sentinel_reply_free(completion->reply);
    CHECK_FAILS(SENTINEL_ERR_WOULD_DEADLOCK, "callback",
                sentinel_command(story->client, SENTINEL_ARGS("PING"), NULL, NULL, &reply, &error), &error);
    CHECK_STATUS(SENTINEL_ERR_WOULD_DEADLOCK, sentinel_close(story->sentinel, 100));
    CHECK_OK(sentinel_submit(story->client, SENTINEL_ARGS("ECHO", "second"), NULL, NULL, second, story, NULL, &error),
             &error);
    end(story);
}

static void callbacks(sentinel_t *sentinel, const char *service)
{
    struct story story = {.sentinel = sentinel, .client = live_primary(sentinel, service)};
    sentinel_error_t *error = NULL;
    uint64_t id = 0;

    pthread_mutex_init(&story.lock, NULL);
    pthread_cond_init(&story.changed, NULL);
    CHECK_OK(sentinel_submit(story.client, SENTINEL_ARGS("ECHO", "first"), NULL, NULL, first, &story, &id, &error),
             &error);
    pthread_mutex_lock(&story.lock);
    while (story.ended < 2) {
        pthread_cond_wait(&story.changed, &story.lock);
    }
    pthread_mutex_unlock(&story.lock);
    sentinel_client_free(story.client);
}

static void *poll_for_ever(void *queue)
{
    sentinel_completion_t entry;
    size_t count = 7;

    CHECK_STATUS(SENTINEL_EMPTY, sentinel_queue_poll(queue, &entry, sizeof entry, 1, -1, &count));
    CHECK_EQUAL(0, count);
    CHECK_STATUS(SENTINEL_ERR_CLOSED, sentinel_queue_poll(queue, &entry, sizeof entry, 1, -1, NULL));
    return NULL;
}

/* Waiting polls are woken, and sent away when the deployment is closed; what was submitted is told before. */
static void wakes_and_frees(int argc, char **argv)
{
    sentinel_t *sentinel = live_open(argc, argv);
    sentinel_client_t *client = live_primary(sentinel, argv[1]);
    sentinel_queue_t *queue = new_queue(sentinel, 16), *other = new_queue(sentinel, 16);
    const size_t lens[] = {5, 4, 1};
    sentinel_completion_t entry;
    sentinel_error_t *error = NULL;
    pthread_t thread;
    size_t count;

    CHECK(pthread_create(&thread, NULL, poll_for_ever, queue) == 0);
    CHECK_STATUS(SENTINEL_OK, sentinel_queue_wake(queue));
    CHECK_OK(sentinel_submit_queued(client, 3, lens, "BLPOPnone0", 10, NULL, other, 1, NULL, &error), &error);
    CHECK_OK(sentinel_submit_queued(client, 3, lens, "BLPOPnone0", 10, NULL, other, 2, NULL, &error), &error);
    sentinel_client_free(client);
    CHECK_STATUS(SENTINEL_OK, sentinel_queue_poll(other, &entry, sizeof entry, 1, 30000, &count));
    CHECK_EQUAL(SENTINEL_ERR_CLOSED, entry.status);
    sentinel_error_free(entry.error);
    CHECK_STATUS(SENTINEL_OK, sentinel_close(sentinel, 30000));
    sentinel_free(sentinel);
    CHECK(pthread_join(thread, NULL) == 0);
    sentinel_queue_free(queue);
    sentinel_queue_free(other); /* with an entry left in it */
}

static void *block_on(void *connection)
{
    sentinel_error_t *error = NULL;

    CHECK_FAILS(SENTINEL_ERR_CLOSED, "",
                sentinel_connection_command(connection, SENTINEL_ARGS("BLPOP", "none", "0"), NULL, NULL, NULL, &error),
                &error);
    return NULL;
}

/* Each call ends once, here or in the queue, with the reply to its own argument. */
static void tried(sentinel_t *sentinel, sentinel_client_t *client)
{
    sentinel_queue_t *queue = new_queue(sentinel, 16);
    const size_t lens[] = {4, 6};
    int here = 0, there = 0;

    for (unsigned number = 100000; number < 102000; number++) {
        sentinel_reply_t *reply = NULL;
        sentinel_error_t *error = NULL;
        sentinel_completion_t entry;
        uint64_t id = 0;
        char data[16], *argument = data + 4;
        size_t count = 0;
        sentinel_status_t status;

        snprintf(data, sizeof data, "ECHO%u", number);
        status = sentinel_try_command(client, 2, lens, data, 10, NULL, number % 3, queue, number, &id, &reply, &error);
        if (status == SENTINEL_EMPTY) {
            CHECK(id != 0 && reply == NULL && error == NULL);
            CHECK_STATUS(SENTINEL_OK, sentinel_queue_poll(queue, &entry, sizeof entry, 1, 30000, &count));
            CHECK_EQUAL(number, entry.tag);
            CHECK_EQUAL(SENTINEL_OK, entry.status);
            reply = entry.reply;
            there++;
        } else {
            CHECK_OK(status, &error);
            CHECK(id == 0);
            here++;
        }
        CHECK_TEXT(argument, reply);
        sentinel_reply_free(reply);
    }
    CHECK(here > 0 && there > 600);
    sentinel_queue_free(queue);
}

/*
 * A client that is freed ends what was submitted through it, though a connection of it is in use; closing the deployment
 * ends what runs on that.
 */
static void ends_with_its_client(int argc, char **argv)
{
    sentinel_t *sentinel = live_open(argc, argv);
    sentinel_client_t *client = live_primary(sentinel, argv[1]);
    sentinel_queue_t *queue = new_queue(sentinel, 16);
    const size_t lens[] = {5, 4, 1};
    sentinel_connection_t *connection = NULL;
    sentinel_completion_t entry;
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;
    pthread_t thread;
    struct timespec pause = {0, 200 * 1000 * 1000};
    size_t count;

    CHECK_OK(sentinel_client_acquire(client, 0, &connection, &error), &error);
    CHECK_OK(sentinel_submit_queued(client, 3, lens, "BLPOPnone0", 10, NULL, queue, 1, NULL, &error), &error);
    sentinel_client_free(client);
    CHECK_STATUS(SENTINEL_OK, sentinel_queue_poll(queue, &entry, sizeof entry, 1, 30000, &count));
    CHECK_EQUAL(SENTINEL_ERR_CLOSED, entry.status);
    sentinel_error_free(entry.error);
    CHECK_OK(sentinel_connection_command(connection, SENTINEL_ARGS("ECHO", "on"), NULL, NULL, &reply, &error), &error);
    CHECK_TEXT("on", reply);
    sentinel_reply_free(reply);
    CHECK(pthread_create(&thread, NULL, block_on, connection) == 0);
    nanosleep(&pause, NULL); /* CLOSED in either case: before it has begun and in the middle of it */
    CHECK_STATUS(SENTINEL_OK, sentinel_close(sentinel, 30000));
    CHECK(pthread_join(thread, NULL) == 0);
    sentinel_connection_release(connection);
    sentinel_queue_free(queue);
    sentinel_free(sentinel);
}

static void *block_until_cancelled(void *connection)
{
    sentinel_error_t *error = NULL;

    CHECK_FAILS(SENTINEL_ERR_CANCELLED, "",
                sentinel_connection_command(connection, SENTINEL_ARGS("BLPOP", "none", "0"), NULL, NULL, NULL, &error),
                &error);
    return NULL;
}

/* A client that is closed is there still; a connection that is cancelled is of no use, and given back all the same. */
static void ends_and_is_there_still(sentinel_t *sentinel, const char *service)
{
    sentinel_client_t *client = live_primary(sentinel, service);
    sentinel_queue_t *queue = new_queue(sentinel, 16);
    const size_t lens[] = {5, 4, 1};
    sentinel_connection_t *connection = NULL;
    sentinel_completion_t entry;
    sentinel_error_t *error = NULL;
    pthread_t thread;
    struct timespec pause = {0, 100 * 1000 * 1000};
    size_t count;

    CHECK_OK(sentinel_client_acquire(client, 0, &connection, &error), &error);
    CHECK(pthread_create(&thread, NULL, block_until_cancelled, connection) == 0);
    nanosleep(&pause, NULL); /* CANCELLED in either case: before it has begun and in the middle of it */
    CHECK_STATUS(SENTINEL_OK, sentinel_connection_cancel(connection));
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_FAILS(SENTINEL_ERR_CANCELLED, "",
                sentinel_connection_command(connection, SENTINEL_ARGS("PING"), NULL, NULL, NULL, &error), &error);
    sentinel_connection_release(connection);

    CHECK_OK(sentinel_submit_queued(client, 3, lens, "BLPOPnone0", 10, NULL, queue, 1, NULL, &error), &error);
    CHECK_STATUS(SENTINEL_OK, sentinel_client_close(client));
    CHECK_STATUS(SENTINEL_OK, sentinel_client_close(client));
    CHECK_STATUS(SENTINEL_OK, sentinel_queue_poll(queue, &entry, sizeof entry, 1, 30000, &count));
    CHECK_EQUAL(SENTINEL_ERR_CLOSED, entry.status);
    sentinel_error_free(entry.error);
    CHECK_FAILS(SENTINEL_ERR_CLOSED, "",
                sentinel_submit_queued(client, 3, lens, "BLPOPnone0", 10, NULL, queue, 2, NULL, &error), &error);
    sentinel_client_free(client);
    sentinel_queue_free(queue);
}

int main(int argc, char **argv)
{
    sentinel_t *sentinel = live_open(argc, argv);
    sentinel_client_t *client = live_primary(sentinel, argv[1]);

    a_thousand_calls_at_once(sentinel, client);
    failures_batches_and_cancelled_calls(sentinel, client);
    callbacks(sentinel, argv[1]);
    tried(sentinel, client);
    wakes_and_frees(argc, argv);
    ends_with_its_client(argc, argv);
    ends_and_is_there_still(sentinel, argv[1]);
    sentinel_client_free(client);
    CHECK_STATUS(SENTINEL_OK, sentinel_close(sentinel, 30000));
    sentinel_free(sentinel);
    return 0;
}
