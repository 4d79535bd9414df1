/*
 * needs: topology. Called with SERVICE HOST:PORT... A process without descriptors: what is open works on, what needs one
 * more fails with an error that says so, and everything works again when there are some.
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "live.h"

#define MOST 512

/* Descriptors that leave no other free. */
static int hoard[MOST];
static int hoarded;

static void take_all(void)
{
    int fd;

    while (hoarded < MOST && (fd = open("/dev/null", O_RDONLY)) >= 0) {
        hoard[hoarded++] = fd;
    }
    CHECK(hoarded < MOST);
}

static void give_back(void)
{
    while (hoarded > 0) {
        close(hoard[--hoarded]);
    }
}

/* Entries of a folder of /proc/self, those of the reading itself left out alike each time. */
static int count(const char *folder)
{
    DIR *dir = opendir(folder);
    int entries = 0;

    CHECK(dir != NULL);
    while (readdir(dir) != NULL) {
        entries++;
    }
    closedir(dir);
    return entries;
}

static void wait_until_as_before(const char *folder, int before)
{
    struct timespec pause = { 0, 2000000 };
    int tries;

    for (tries = 0; tries < 5000 && count(folder) != before; tries++) {
        nanosleep(&pause, NULL);
    }
    CHECK_EQUAL(before, count(folder));
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    sentinel_options_t *options = live_options(argc, argv);
    sentinel_t *sentinel, *other = NULL;
    sentinel_client_t *client, *late;
    sentinel_connection_t *connection = NULL;
    sentinel_error_t *error = NULL;
    sentinel_reply_t *reply = NULL;
    int descriptors, threads, i;

    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 256;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    descriptors = count("/proc/self/fd");
    threads = count("/proc/self/task");

    sentinel = live_open(argc, argv);
    client = live_primary(sentinel, argv[1]);
    late = live_primary(sentinel, argv[1]);
    DO(client, "SET", "limits", "before");
    take_all();

    /* What has its connection needs no more. */
    for (i = 0; i < 100; i++) {
        DO(client, "SET", "limits", "during");
    }
    /* A client without one gets none: told within its deadline, executed nowhere. */
    {
        sentinel_call_t call = SENTINEL_CALL_INIT;
        sentinel_status_t status;

        call.timeout_ms = 300;
        status = sentinel_command(late, SENTINEL_ARGS("SET", "limits", "late"), NULL, &call, &reply, &error);
        CHECK(status < 0 && sentinel_status_is_connection_error(status));
        CHECK_EQUAL(SENTINEL_OUTCOME_NOT_SENT, sentinel_error_outcome(error));
        CHECK(strstr(sentinel_error_message(error, NULL), strerror(EMFILE)) != NULL);
        sentinel_error_free(error);
        error = NULL;
        status = sentinel_client_acquire(client, 300, &connection, &error);
        CHECK(status < 0);
        sentinel_error_free(error);
        error = NULL;
    }
    /* Nor does a deployment open, and it leaves nothing half open. */
    CHECK(sentinel_open(options, &other, &error) < 0);
    CHECK(error != NULL && other == NULL);
    sentinel_error_free(error);
    error = NULL;

    give_back();
    DO(late, "SET", "limits", "after");
    CHECK_OK(sentinel_client_acquire(client, 10000, &connection, &error), &error);
    sentinel_connection_release(connection);
    CHECK_OK(sentinel_open(options, &other, &error), &error);
    CHECK_STATUS(SENTINEL_OK, sentinel_close(other, 1000));
    sentinel_free(other);
    CHECK_STATUS(SENTINEL_OK, sentinel_close(sentinel, 1000));
    sentinel_client_free(late);
    sentinel_client_free(client);
    sentinel_free(sentinel);
    sentinel_options_free(options);
    wait_until_as_before("/proc/self/task", threads);
    wait_until_as_before("/proc/self/fd", descriptors);
    return 0;
}
