/* The floor of every library whose callers sleep while they wait: so many threads that are woken by one futex call, and
 * go back to sleep, over and over; no socket and no command. Figures as the other programs: an operation is one thread's
 * waking and sleeping. Usage: bench_park park THREADS SECONDS. */
#define _GNU_SOURCE
#include "bench.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic uint32_t turn, finished;
static atomic_size_t back;
static size_t sleepers;

static void wait_on(_Atomic uint32_t *word, uint32_t seen) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void wake_all(_Atomic uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }

static void *sleeper(void *nothing) {
    (void)nothing;
    for (uint32_t seen = 0;;) {
        while (atomic_load(&turn) == seen)
            wait_on(&turn, seen);
        seen = atomic_load(&turn); /* before the next turn can come */
        if (atomic_fetch_add(&back, 1) + 1 == sleepers) {
            atomic_fetch_add(&finished, 1);
            wake_all(&finished);
        }
    }
    return NULL;
}

/* Wakes all of them once, and waits for the last. */
static size_t work(void *nothing) {
    (void)nothing;
    uint32_t before = atomic_load(&finished);
    atomic_store(&back, 0);
    atomic_fetch_add(&turn, 1);
    wake_all(&turn);
    while (atomic_load(&finished) == before)
        wait_on(&finished, before);
    return sleepers;
}

int main(int argc, char **argv) {
    static void *states[1];
    if (argc != 4 || strcmp(argv[1], "park") != 0)
        return bench_usage(argv[0], "park");
    sleepers = (size_t)atoi(argv[2]);
    for (size_t i = 0; i < sleepers; i++) {
        pthread_t id;
        if (pthread_create(&id, NULL, sleeper, NULL) != 0)
            return 1;
    }
    return bench_run(1, atof(argv[3]), work, states);
}
