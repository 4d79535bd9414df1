/*
 * Pub/sub: messages, events, refusals and ends, as a C program sees them.
 * needs: topology
 */
#include "live.h"

#include <poll.h>
#include <pthread.h>

enum { TAG = 77, PATIENCE_MS = 60000 };

/* One completion; its reply and error are the caller's. */
static sentinel_completion_t next(sentinel_queue_t *queue, int32_t kind)
{
    sentinel_completion_t entry;
    size_t count = 0;

    memset(&entry, 0, sizeof entry);
    CHECK_STATUS(SENTINEL_OK, sentinel_queue_poll(queue, &entry, sizeof entry, 1, PATIENCE_MS, &count));
    CHECK_EQUAL(1, count);
    CHECK_EQUAL(TAG, entry.tag);
    CHECK_EQUAL(kind, entry.kind);
    CHECK((entry.reply == NULL) == (entry.error != NULL));
    return entry;
}

static void expect_subscribed(sentinel_queue_t *queue, const char *kind, const char *channel)
{
    sentinel_completion_t entry = next(queue, SENTINEL_COMPLETION_EVENT);

    CHECK_EQUAL(SENTINEL_OK, entry.status);
    CHECK_EQUAL(SENTINEL_REPLY_MAP, sentinel_reply_type(entry.reply));
    CHECK_TEXT("subscribed", sentinel_reply_get(entry.reply, "event", 5));
    CHECK_TEXT(kind, sentinel_reply_get(entry.reply, "kind", 4));
    CHECK_TEXT(channel, sentinel_reply_get(entry.reply, "channel", 7));
    sentinel_reply_free(entry.reply);
}

static void expect_message(sentinel_queue_t *queue, size_t parts, const char *const *part, const size_t *lens)
{
    sentinel_completion_t entry = next(queue, SENTINEL_COMPLETION_MESSAGE);
    size_t i;

    CHECK_EQUAL(SENTINEL_OK, entry.status);
    CHECK_EQUAL(SENTINEL_REPLY_PUSH, sentinel_reply_type(entry.reply));
    CHECK_EQUAL(parts, sentinel_reply_len(entry.reply));
    for (i = 0; i < parts; i++) {
        CHECK_BYTES(part[i], lens == NULL ? strlen(part[i]) : lens[i], sentinel_reply_at(entry.reply, i));
    }
    sentinel_reply_free(entry.reply);
}

static sentinel_queue_t *new_queue(sentinel_t *sentinel, size_t capacity)
{
    sentinel_queue_t *queue = NULL;
    sentinel_error_t *error = NULL;

    CHECK_OK(sentinel_queue_new(sentinel, capacity, &queue, &error), &error);
    return queue;
}

static sentinel_subscription_t *new_subscription(sentinel_client_t *client, sentinel_queue_t *queue)
{
    sentinel_subscription_t *subscription = NULL;
    sentinel_error_t *error = NULL;

    CHECK_OK(sentinel_subscription_new(client, queue, TAG, &subscription, &error), &error);
    return subscription;
}

static void add(sentinel_subscription_t *subscription, int32_t kind, const char *channel)
{
    sentinel_error_t *error = NULL;

    CHECK_OK(sentinel_subscription_add(subscription, kind, channel, strlen(channel), &error), &error);
}

static void messages_of_each_kind(sentinel_t *sentinel, sentinel_client_t *client)
{
    sentinel_queue_t *queue = new_queue(sentinel, 100);
    sentinel_subscription_t *subscription = new_subscription(client, queue);
    struct pollfd readable = {sentinel_queue_fd(queue), POLLIN, 0};
    const char *publish[] = {"PUBLISH", "c.1", "a\0b"};
    const size_t publish_lens[] = {7, 3, 3}, lens[] = {7, 3, 3}, pattern_lens[] = {8, 3, 3, 3};
    const char *message[] = {"message", "c.1", "a\0b"}, *pmessage[] = {"pmessage", "c.*", "c.1", "a\0b"};
    const char *smessage[] = {"smessage", "s", ""};
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;

    add(subscription, SENTINEL_SUBSCRIBE_CHANNEL | SENTINEL_SUBSCRIBE_CONFIRM, "c.1");
    CHECK_EQUAL(1, poll(&readable, 1, PATIENCE_MS));
    expect_subscribed(queue, "channel", "c.1");
    add(subscription, SENTINEL_SUBSCRIBE_PATTERN | SENTINEL_SUBSCRIBE_CONFIRM, "c.*");
    expect_subscribed(queue, "pattern", "c.*");
    if (live_since(client, 7, 0)) {
        add(subscription, SENTINEL_SUBSCRIBE_SHARDED | SENTINEL_SUBSCRIBE_CONFIRM, "s");
        expect_subscribed(queue, "sharded", "s");
    }
    CHECK_EQUAL(0, poll(&readable, 1, 0));
    CHECK_OK(sentinel_command(client, 3, publish, publish_lens, NULL, &reply, &error), &error);
    CHECK_EQUAL(2, sentinel_reply_integer(reply));
    sentinel_reply_free(reply);
    expect_message(queue, 3, message, lens);
    expect_message(queue, 4, pmessage, pattern_lens);
    if (live_since(client, 7, 0)) {
        DO(client, "SPUBLISH", "s", "");
        expect_message(queue, 3, smessage, NULL);
    }

    CHECK_OK(sentinel_subscription_remove(subscription, SENTINEL_SUBSCRIBE_PATTERN, "c.*", 3, &error), &error);
    CHECK_OK(sentinel_subscription_remove(subscription, SENTINEL_SUBSCRIBE_PATTERN, "c.*", 3, NULL), NULL);
    DO(client, "PUBLISH", "c.1", "x");
    DO(client, "PUBLISH", "c.1", "y");
    message[2] = "x";
    expect_message(queue, 3, message, NULL);
    message[2] = "y";
    expect_message(queue, 3, message, NULL);
    sentinel_subscription_free(subscription);
    sentinel_queue_free(queue);
}

static void a_lost_connection_is_told(sentinel_t *sentinel, sentinel_client_t *client)
{
    sentinel_queue_t *queue = new_queue(sentinel, 100);
    sentinel_subscription_t *subscription = new_subscription(client, queue);
    sentinel_completion_t entry;

    add(subscription, SENTINEL_SUBSCRIBE_CHANNEL | SENTINEL_SUBSCRIBE_CONFIRM, "lost");
    expect_subscribed(queue, "channel", "lost");
    DO(client, "CLIENT", "KILL", "TYPE", "pubsub");
    entry = next(queue, SENTINEL_COMPLETION_EVENT);
    CHECK_EQUAL(SENTINEL_OK, entry.status);
    CHECK_TEXT("subscription_gap", sentinel_reply_get(entry.reply, "event", 5));
    CHECK(sentinel_reply_integer(sentinel_reply_get(entry.reply, "milliseconds", 12)) >= 0);
    CHECK_EQUAL(0, sentinel_reply_integer(sentinel_reply_get(entry.reply, "dropped", 7)));
    CHECK(sentinel_reply_get(entry.reply, "from", 4) != NULL && sentinel_reply_get(entry.reply, "to", 2) != NULL);
    sentinel_reply_free(entry.reply);
    sentinel_subscription_free(subscription);
    sentinel_queue_free(queue);
}

static void a_refused_name_is_told(int argc, char **argv, sentinel_client_t *admin)
{
    sentinel_options_t *options = live_options(argc, argv);
    sentinel_t *sentinel = NULL;
    sentinel_error_t *error = NULL;
    sentinel_client_t *client;
    sentinel_queue_t *queue;
    sentinel_subscription_t *subscription;
    sentinel_completion_t entry;

    DO(admin, "ACL", "SETUSER", "reader", "on", ">secret", "resetchannels", "&open", "+@all");
    CHECK_OK(sentinel_options_set(options, "username", "reader", &error), &error);
    CHECK_OK(sentinel_options_set_secret(options, "password", "secret", 6, &error), &error);
    CHECK_OK(sentinel_open(options, &sentinel, &error), &error);
    sentinel_options_free(options);
    client = live_primary(sentinel, argv[1]);
    queue = new_queue(sentinel, 10);
    subscription = new_subscription(client, queue);
    add(subscription, SENTINEL_SUBSCRIBE_CHANNEL | SENTINEL_SUBSCRIBE_CONFIRM, "shut");
    entry = next(queue, SENTINEL_COMPLETION_EVENT);
    CHECK_EQUAL(SENTINEL_ERR_SERVER, entry.status);
    CHECK_EQUAL(SENTINEL_ERR_SERVER, sentinel_error_status(entry.error));
    CHECK(strcmp("NOPERM", sentinel_error_server_code(entry.error, NULL)) == 0);
    CHECK(strstr(sentinel_error_message(entry.error, NULL), "(SUBSCRIBE \"shut\")") != NULL);
    CHECK(sentinel_error_endpoint(entry.error, NULL) != NULL);
    sentinel_error_free(entry.error);
    add(subscription, SENTINEL_SUBSCRIBE_CHANNEL | SENTINEL_SUBSCRIBE_CONFIRM, "open");
    expect_subscribed(queue, "channel", "open");
    /* The parents first. */
    sentinel_free(sentinel);
    sentinel_client_free(client);
    sentinel_queue_free(queue);
    CHECK_STATUS(SENTINEL_ERR_CLOSED, sentinel_subscription_add(subscription, 1, "c", 1, NULL));
    sentinel_subscription_free(subscription);
}

static void misuse(sentinel_t *sentinel, sentinel_client_t *client)
{
    sentinel_queue_t *queue = new_queue(sentinel, 1);
    sentinel_subscription_t *subscription = new_subscription(client, queue);
    sentinel_error_t *error = NULL;

    CHECK_FAILS(SENTINEL_ERR_NULL_ARGUMENT, "queue", sentinel_subscription_new(client, NULL, 1, NULL, &error), &error);
    CHECK_STATUS(SENTINEL_OK, sentinel_subscription_new(client, queue, 1, NULL, NULL));
    CHECK_FAILS(SENTINEL_ERR_INVALID_ARGUMENT, "kind", sentinel_subscription_add(subscription, 0, "c", 1, &error), &error);
    CHECK_FAILS(SENTINEL_ERR_INVALID_ARGUMENT, "kind", sentinel_subscription_remove(subscription, 4, "c", 1, &error),
                &error);
    CHECK_FAILS(SENTINEL_ERR_NULL_ARGUMENT, "channel", sentinel_subscription_add(subscription, 1, NULL, 1, &error),
                &error);
    CHECK_OK(sentinel_subscription_add(subscription, SENTINEL_SUBSCRIBE_CHANNEL | SENTINEL_SUBSCRIBE_CONFIRM, NULL, 0, &error), &error);
    expect_subscribed(queue, "channel", "");
    sentinel_subscription_free(NULL);
    sentinel_subscription_free(subscription);
    sentinel_queue_free(queue);
}

struct changer {
    pthread_t thread;
    sentinel_subscription_t *subscription;
    int number;
};

static void *change_names(void *argument)
{
    struct changer *changer = argument;
    char name[32];
    int i;

    for (i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "busy-%d-%d", changer->number, i % 5);
        add(changer->subscription, SENTINEL_SUBSCRIBE_CHANNEL | SENTINEL_SUBSCRIBE_CONFIRM, name);
        CHECK_STATUS(SENTINEL_OK, sentinel_subscription_remove(changer->subscription, SENTINEL_SUBSCRIBE_CHANNEL, name,
                                                               strlen(name), NULL));
    }
    return NULL;
}

/* Frees it while its messages come and the queue is full. */
static void many_threads(sentinel_t *sentinel, sentinel_client_t *client)
{
    sentinel_queue_t *queue = new_queue(sentinel, 50);
    sentinel_subscription_t *subscription = new_subscription(client, queue);
    struct changer changers[4];
    int i;

    add(subscription, SENTINEL_SUBSCRIBE_PATTERN | SENTINEL_SUBSCRIBE_CONFIRM, "busy*");
    expect_subscribed(queue, "pattern", "busy*");
    for (i = 0; i < 4; i++) {
        changers[i].subscription = subscription;
        changers[i].number = i;
        CHECK(pthread_create(&changers[i].thread, NULL, change_names, &changers[i]) == 0);
    }
    for (i = 0; i < 100; i++) {
        DO(client, "PUBLISH", "busy-0-0", "m");
    }
    for (i = 0; i < 4; i++) {
        pthread_join(changers[i].thread, NULL);
    }
    sentinel_subscription_free(subscription);
    sentinel_queue_free(queue);
}

static void closed(int argc, char **argv)
{
    sentinel_t *sentinel = live_open(argc, argv);
    sentinel_client_t *client = live_primary(sentinel, argv[1]);
    sentinel_queue_t *queue = new_queue(sentinel, 10);
    sentinel_subscription_t *subscription = new_subscription(client, queue), *late = NULL;
    sentinel_completion_t entry;
    size_t count = 9;

    add(subscription, SENTINEL_SUBSCRIBE_CHANNEL | SENTINEL_SUBSCRIBE_CONFIRM, "closed");
    expect_subscribed(queue, "channel", "closed");
    CHECK_STATUS(SENTINEL_OK, sentinel_close(sentinel, PATIENCE_MS));
    CHECK_STATUS(SENTINEL_ERR_CLOSED, sentinel_queue_poll(queue, &entry, sizeof entry, 1, PATIENCE_MS, &count));
    CHECK_STATUS(SENTINEL_ERR_CLOSED, sentinel_subscription_add(subscription, 1, "c", 1, NULL));
    CHECK_STATUS(SENTINEL_ERR_CLOSED, sentinel_subscription_remove(subscription, 1, "closed", 6, NULL));
    CHECK_STATUS(SENTINEL_ERR_CLOSED, sentinel_subscription_new(client, queue, 1, &late, NULL));
    CHECK(late == NULL);
    sentinel_queue_free(queue);
    sentinel_subscription_free(subscription);
    sentinel_client_free(client);
    sentinel_free(sentinel);
}

int main(int argc, char **argv)
{
    sentinel_t *sentinel = live_open(argc, argv);
    sentinel_client_t *client = live_primary(sentinel, argv[1]);

    messages_of_each_kind(sentinel, client);
    a_lost_connection_is_told(sentinel, client);
    misuse(sentinel, client);
    many_threads(sentinel, client);
    if (live_since(client, 6, 2)) {
        a_refused_name_is_told(argc, argv, client);
    }
    closed(argc, argv);
    sentinel_client_free(client);
    sentinel_free(sentinel);
    return 0;
}
