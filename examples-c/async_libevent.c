/*
 * async_libevent SERVICE HOST:PORT...: the same event loop serves timers, sockets and Redis.
 * libs: libevent
 *
 * A request a millisecond, as a server's clients would send them; each is answered when its two commands are, and none
 * of them holds up another. The tag of a completion leads back to the request.
 */
#include <sentinel/adapters/libevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUESTS 1000

struct request {
    int number;
    int missing; /* commands that have not completed */
};

struct server {
    struct event_base *loop;
    struct event *clock;
    sentinel_client_t *client;
    sentinel_queue_t *queue;
    struct request requests[REQUESTS];
    int begun, answered, failed;
};

static void fail(const char *what, sentinel_error_t *error)
{
    fprintf(stderr, "%s: %s\n", what, error != NULL ? sentinel_error_message(error, NULL) : "failed");
    exit(1);
}

static void submit(struct server *server, struct request *request, const char *command, const char *key)
{
    char data[64];
    size_t lens[2];
    sentinel_error_t *error = NULL;
    uint64_t tag = (uint64_t)(request - server->requests);

    lens[0] = strlen(command);
    lens[1] = strlen(key);
    snprintf(data, sizeof data, "%s%s", command, key);
    if (sentinel_submit_queued(server->client, 2, lens, data, lens[0] + lens[1], NULL, server->queue, tag, NULL,
                               &error) != SENTINEL_OK) {
        fail("submit", error);
    }
    request->missing++;
}

/* The next request arrives. */
static void on_request(evutil_socket_t fd, short what, void *data)
{
    struct server *server = data;
    struct request *request = &server->requests[server->begun];
    char key[32];

    (void)fd;
    (void)what;
    request->number = server->begun++;
    snprintf(key, sizeof key, "request:%d", request->number % 10);
    submit(server, request, "INCR", key);
    submit(server, request, "TTL", key);
    if (server->begun == REQUESTS) {
        event_del(server->clock);
    }
}

/* A command has completed. */
static void on_completion(void *data, sentinel_completion_t *done)
{
    struct server *server = data;
    struct request *request = &server->requests[done->tag];

    server->failed += done->status != SENTINEL_OK;
    server->answered += --request->missing == 0;
    sentinel_reply_free(done->reply);
    sentinel_error_free(done->error);
    if (server->answered == REQUESTS) {
        event_base_loopbreak(server->loop);
    }
}

static sentinel_t *open_deployment(int argc, char **argv)
{
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_error_t *error = NULL;
    char url[1024] = "redis+sentinel://";
    int i;

    for (i = 2; i < argc; i++) {
        strncat(url, i > 2 ? "," : "", sizeof url - strlen(url) - 1);
        strncat(url, argv[i], sizeof url - strlen(url) - 1);
    }
    if (sentinel_options_parse_url(options, url, &error) != SENTINEL_OK ||
        sentinel_open(options, &sentinel, &error) != SENTINEL_OK) {
        fail(url, error);
    }
    sentinel_options_free(options);
    return sentinel;
}

int main(int argc, char **argv)
{
    static struct server server;
    const struct timeval millisecond = {0, 1000};
    sentinel_t *sentinel;
    sentinel_error_t *error = NULL;
    sentinel_libevent_t *adapter = NULL;
    sentinel_status_t status;

    if (argc < 3) {
        fprintf(stderr, "usage: %s SERVICE HOST:PORT...\n", argv[0]);
        return 2;
    }
    sentinel = open_deployment(argc, argv);
    if (sentinel_primary_for(sentinel, argv[1], NULL, &server.client, &error) != SENTINEL_OK ||
        sentinel_queue_new(sentinel, 2 * REQUESTS, &server.queue, &error) != SENTINEL_OK) {
        fail(argv[1], error);
    }
    server.loop = event_base_new();
    server.clock = event_new(server.loop, -1, EV_PERSIST, on_request, &server);
    status = sentinel_libevent_attach(server.loop, server.queue, on_completion, &server, &adapter);
    if (status != SENTINEL_OK) {
        fail(sentinel_status_name(status), NULL);
    }
    event_add(server.clock, &millisecond);
    event_base_dispatch(server.loop);
    printf("%d requests answered, %d commands failed\n", server.answered, server.failed);
    sentinel_libevent_detach(adapter); /* before the loop and the queue */
    event_free(server.clock);
    event_base_free(server.loop);
    sentinel_queue_free(server.queue);
    sentinel_client_free(server.client);
    sentinel_free(sentinel);
    return server.failed != 0;
}
