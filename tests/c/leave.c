/*
 * needs: topology. Called with SERVICE HOST:PORT... The process ends by exit() with everything live: handles, calls in
 * flight on other threads, replies. It ends at once, with its own status.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "live.h"

static void *call_for_ever(void *argument)
{
    sentinel_client_t *client = argument;

    for (;;) {
        sentinel_reply_t *reply = NULL;

        if (sentinel_command(client, SENTINEL_ARGS("SET", "leave", "x"), NULL, NULL, &reply, NULL) != SENTINEL_OK) {
            return NULL;
        }
        sentinel_reply_free(reply);
    }
}

static void *wait_for_ever(void *argument)
{
    sentinel_reply_t *reply = NULL;
    sentinel_status_t status =
        sentinel_command(argument, SENTINEL_ARGS("BLPOP", "leave:nothing", "0"), NULL, NULL, &reply, NULL);

    (void)status;
    return NULL;
}

/* What a child does before it ends in the middle of it all. */
static void live(int argc, char **argv, int turn)
{
    /* Still held when the process ends, which is no leak. */
    static sentinel_t *volatile sentinel;
    static sentinel_client_t *volatile client;
    static sentinel_connection_t *volatile kept;
    sentinel_connection_t *connection = NULL;
    pthread_t threads[5];
    int i;

    sentinel = live_open(argc, argv);
    client = live_primary(sentinel, argv[1]);
    DO(client, "SET", "leave", "x");
    if (turn % 2 == 0) {
        CHECK_STATUS(SENTINEL_OK, sentinel_client_acquire(client, 10000, &connection, NULL));
        kept = connection;
        CHECK(kept != NULL);
    }
    for (i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, call_for_ever, client) == 0);
    }
    CHECK(pthread_create(&threads[4], NULL, wait_for_ever, client) == 0);
    for (i = 0; i < turn * 20; i++) {
        DO(client, "GET", "leave");
    }
    exit(40 + turn);
}

int main(int argc, char **argv)
{
    int turn;

    for (turn = 0; turn < 8; turn++) {
        struct timespec pause = { 0, 2000000 };
        int status = 0, tries = 0;
        pid_t child = fork();

        CHECK(child >= 0);
        if (child == 0) {
            live(argc, argv, turn);
        }
        while (waitpid(child, &status, WNOHANG) == 0) {
            /* A minute: it may run under valgrind. */
            CHECK(tries++ < 30000);
            nanosleep(&pause, NULL);
        }
        CHECK(WIFEXITED(status));
        CHECK_EQUAL(40 + turn, WEXITSTATUS(status));
    }
    return 0;
}
