/*
 * needs: topology. Called with SERVICE HOST:PORT... A plugin's life: the library is loaded by dlopen, used and unloaded,
 * again and again. Each time all threads and descriptors are gone; a handle that outlives dlclose works on.
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <dlfcn.h>
#include <time.h>

#include "check.h"

#define ROUNDS 20

/* Only types and constants of the header are used: a program that named a function would be linked with the library. */
struct library {
    void *handle;
    sentinel_options_t *(*options_new)(void);
    sentinel_status_t (*add_sentinel)(sentinel_options_t *, const char *, uint16_t, sentinel_error_t **);
    void (*options_free)(sentinel_options_t *);
    sentinel_status_t (*open)(const sentinel_options_t *, sentinel_t **, sentinel_error_t **);
    sentinel_status_t (*close)(sentinel_t *, int64_t);
    void (*free)(sentinel_t *);
    sentinel_status_t (*primary_for)(sentinel_t *, const char *, const sentinel_options_t *, sentinel_client_t **,
                                     sentinel_error_t **);
    void (*client_free)(sentinel_client_t *);
    sentinel_status_t (*command)(sentinel_client_t *, size_t, const char *const *, const size_t *,
                                 const sentinel_call_t *, sentinel_reply_t **, sentinel_error_t **);
    void (*reply_free)(sentinel_reply_t *);
};

static void *find(void *handle, const char *name)
{
    void *symbol = dlsym(handle, name);

    CHECK(symbol != NULL);
    return symbol;
}

/* ISO C has no conversion from a pointer to data to one to a function; POSIX lets the bytes be copied. */
#define FIND(place, name)                                                                                    \
    do {                                                                                                     \
        void *symbol = find(library->handle, name);                                                          \
        memcpy(&(place), &symbol, sizeof symbol);                                                            \
    } while (0)

static void load(struct library *library, const char *path)
{
    library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library->handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    FIND(library->options_new, "sentinel_options_new");
    FIND(library->add_sentinel, "sentinel_options_add_sentinel");
    FIND(library->options_free, "sentinel_options_free");
    FIND(library->open, "sentinel_open");
    FIND(library->close, "sentinel_close");
    FIND(library->free, "sentinel_free");
    FIND(library->primary_for, "sentinel_primary_for");
    FIND(library->client_free, "sentinel_client_free");
    FIND(library->command, "sentinel_command");
    FIND(library->reply_free, "sentinel_reply_free");
}

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

static void open_all(const struct library *library, int argc, char **argv, sentinel_t **sentinel,
                     sentinel_client_t **client)
{
    sentinel_options_t *options = library->options_new();
    int i;

    CHECK(argc >= 3 && options != NULL);
    for (i = 2; i < argc; i++) {
        char host[256];
        const char *colon = strrchr(argv[i], ':');

        CHECK(colon != NULL && (size_t)(colon - argv[i]) < sizeof host);
        memcpy(host, argv[i], (size_t)(colon - argv[i]));
        host[colon - argv[i]] = '\0';
        CHECK(library->add_sentinel(options, host, (uint16_t)atoi(colon + 1), NULL) == SENTINEL_OK);
    }
    CHECK(library->open(options, sentinel, NULL) == SENTINEL_OK);
    CHECK(library->primary_for(*sentinel, argv[1], NULL, client, NULL) == SENTINEL_OK);
    library->options_free(options);
}

static void use(const struct library *library, sentinel_client_t *client)
{
    const char *set[] = { "SET", "reload", "x" };
    sentinel_reply_t *reply = NULL;

    CHECK(library->command(client, 3, set, NULL, NULL, &reply, NULL) == SENTINEL_OK);
    library->reply_free(reply);
}

int main(int argc, char **argv)
{
    const char *path = getenv("SENTINEL_SO") != NULL ? getenv("SENTINEL_SO") : "build/lib/libsentinel.so.0";
    struct library library = { 0 };
    sentinel_t *sentinel = NULL;
    sentinel_client_t *client = NULL;
    int descriptors = 0, threads = 0, round;

    for (round = 0; round < ROUNDS; round++) {
        load(&library, path);
        if (round == 1) {
            /* After the first time: the loader keeps nothing open, the library what is made once a process. */
            descriptors = count("/proc/self/fd");
            threads = count("/proc/self/task");
        }
        open_all(&library, argc, argv, &sentinel, &client);
        use(&library, client);
        if (round % 2 == 0) {
            CHECK(library.close(sentinel, 1000) == SENTINEL_OK);
        }
        library.client_free(client);
        library.free(sentinel);
        CHECK(dlclose(library.handle) == 0);
    }
    wait_until_as_before("/proc/self/task", threads);
    wait_until_as_before("/proc/self/fd", descriptors);

    /* Unloaded too early: nothing of it may go while it has threads. */
    load(&library, path);
    open_all(&library, argc, argv, &sentinel, &client);
    CHECK(dlclose(library.handle) == 0);
    use(&library, client);
    library.client_free(client);
    library.free(sentinel);
    wait_until_as_before("/proc/self/task", threads);
    wait_until_as_before("/proc/self/fd", descriptors);
    return 0;
}
