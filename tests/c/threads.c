/*
 * needs: topology. Called with SERVICE HOST:PORT... 64 threads on one client, each with keys of its own: no reply is
 * ever another's. Others make, use and free clients of their own meanwhile, and free what another thread made.
 */
#include <pthread.h>

#include "live.h"

#define THREADS 64
#define ROUNDS 50

struct job {
    pthread_t thread;
    sentinel_t *sentinel;
    sentinel_client_t *client;
    const char *service;
    int number;
};

/* A value of some length that only this thread writes in this round. */
static size_t make_value(char *value, size_t capacity, int number, int round)
{
    size_t len = (size_t)(1 + (number * 37 + round * 101) % 4000), i, head;

    head = (size_t)snprintf(value, capacity, "%d:%d:", number, round);
    for (i = head; i < head + len; i++) {
        value[i] = (char)('a' + (number + round) % 26);
    }
    value[i] = '\0';
    return i;
}

static void *write_and_read(void *argument)
{
    const struct job *job = argument;
    char key[64], value[5000];
    int round;

    snprintf(key, sizeof key, "threads:%d", job->number);
    for (round = 0; round < ROUNDS; round++) {
        size_t len = make_value(value, sizeof value, job->number, round);
        sentinel_reply_t *reply;

        DO(job->client, "SET", key, value);
        reply = RUN(job->client, "GET", key);
        CHECK_BYTES(value, len, reply);
        sentinel_reply_free(reply);
        reply = RUN(job->client, "ECHO", value);
        CHECK_BYTES(value, len, reply);
        sentinel_reply_free(reply);
    }
    return NULL;
}

static void *make_and_free(void *argument)
{
    const struct job *job = argument;
    char text[64];
    int round;

    for (round = 0; round < 10; round++) {
        sentinel_client_t *client = live_primary(job->sentinel, job->service);
        sentinel_reply_t *reply;

        snprintf(text, sizeof text, "%d:%d", job->number, round);
        reply = RUN(client, "ECHO", text);
        sentinel_client_free(client);
        CHECK_TEXT(text, reply);
        sentinel_reply_free(reply);
    }
    return NULL;
}

static void *read_shared_reply(void *argument)
{
    const sentinel_reply_t *reply = argument;
    int round;

    for (round = 0; round < 1000; round++) {
        CHECK_TEXT("shared", sentinel_reply_at(reply, 1));
        CHECK_EQUAL(7, sentinel_reply_integer(sentinel_reply_at(reply, 0)));
    }
    return NULL;
}

static void *free_both(void *argument)
{
    struct job *job = argument;

    sentinel_free(job->sentinel);
    sentinel_client_free(job->client);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct job jobs[THREADS], freeing[8], last;
    pthread_t readers[4];
    sentinel_t *sentinel = live_open(argc, argv);
    sentinel_client_t *client = live_primary(sentinel, argv[1]);
    sentinel_reply_t *reply;
    int i;

    for (i = 0; i < THREADS; i++) {
        jobs[i].client = client;
        jobs[i].number = i;
        CHECK(pthread_create(&jobs[i].thread, NULL, write_and_read, &jobs[i]) == 0);
    }
    for (i = 0; i < 8; i++) {
        freeing[i].sentinel = sentinel;
        freeing[i].service = argv[1];
        freeing[i].number = i;
        CHECK(pthread_create(&freeing[i].thread, NULL, make_and_free, &freeing[i]) == 0);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(jobs[i].thread, NULL);
    }
    for (i = 0; i < 8; i++) {
        pthread_join(freeing[i].thread, NULL);
    }

    /* One reply, read by several threads, freed by the main thread. */
    reply = RUN(client, "EVAL", "return {7, 'shared'}", "0");
    for (i = 0; i < 4; i++) {
        CHECK(pthread_create(&readers[i], NULL, read_shared_reply, reply) == 0);
    }
    for (i = 0; i < 4; i++) {
        pthread_join(readers[i], NULL);
    }
    sentinel_reply_free(reply);

    /* As a finalizer would: another thread, the parent first. */
    last.sentinel = sentinel;
    last.client = client;
    CHECK(pthread_create(&last.thread, NULL, free_both, &last) == 0);
    pthread_join(last.thread, NULL);
    return 0;
}
