/* What the programs of a benchmark share: the clock, the start of all threads at once, the latencies, the line of
 * figures. */
#ifndef BENCH_H
#define BENCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { BENCH_BATCH = 100, BENCH_WINDOW = 1000, BENCH_LIST = 1000, BENCH_LARGE = 1 << 20, BENCH_VALUE = 64 };
enum { BENCH_STEPS = 64, BENCH_BUCKETS = 64 * BENCH_STEPS };

/* One unit of work of a thread; returns the operations it did. */
typedef size_t (*bench_work)(void *thread);

typedef struct bench {
    pthread_barrier_t start;
    atomic_int stop;
    atomic_size_t operations;
    pthread_mutex_t lock;
    uint64_t buckets[BENCH_BUCKETS]; /* of latencies: BENCH_STEPS from one power of two to the next */
} bench;

typedef struct bench_thread {
    bench *run;
    bench_work work;
    void *state;
} bench_thread;

static inline uint64_t bench_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Each bucket is at most 1.6 % wide; its middle stands for it. */
static inline size_t bench_bucket(uint64_t ns) {
    uint64_t counted = ns < BENCH_STEPS ? BENCH_STEPS : ns;
    size_t power = 63 - (size_t)__builtin_clzll(counted);
    return power * BENCH_STEPS + (size_t)((counted >> (power - 6)) % BENCH_STEPS);
}

static inline double bench_bucket_us(size_t bucket) {
    size_t power = bucket / BENCH_STEPS;
    return ((double)(BENCH_STEPS + bucket % BENCH_STEPS) + 0.5) * (double)(UINT64_C(1) << (power - 6)) / 1000.0;
}

static inline void *bench_run_thread(void *argument) {
    bench_thread *thread = argument;
    bench *run = thread->run;
    uint64_t buckets[BENCH_BUCKETS] = {0};
    size_t operations = 0;
    thread->work(thread->state); /* connects */
    pthread_barrier_wait(&run->start);
    uint64_t before = bench_now();
    while (!atomic_load_explicit(&run->stop, memory_order_relaxed)) {
        operations += thread->work(thread->state);
        uint64_t after = bench_now();
        buckets[bench_bucket(after - before)]++;
        before = after;
    }
    atomic_fetch_add(&run->operations, operations);
    pthread_mutex_lock(&run->lock);
    for (size_t i = 0; i < BENCH_BUCKETS; i++)
        run->buckets[i] += buckets[i];
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

static inline double bench_percentile(const bench *run, double share) {
    uint64_t all = 0, seen = 0;
    for (size_t i = 0; i < BENCH_BUCKETS; i++)
        all += run->buckets[i];
    for (size_t i = 0; i < BENCH_BUCKETS; i++) {
        seen += run->buckets[i];
        if ((double)seen >= share * (double)all)
            return bench_bucket_us(i);
    }
    return 0;
}

static inline double bench_cpu_us(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Runs `work` on all threads for so long and prints: operations a second, p50 and p99 of a unit in us, CPU us an
 * operation. */
static inline int bench_run(size_t threads, double seconds, bench_work work, void *const *states) {
    static bench run;
    pthread_t ids[1024];
    static bench_thread all[1024];
    if (threads == 0 || threads > 1024)
        return 2;
    pthread_mutex_init(&run.lock, NULL);
    pthread_barrier_init(&run.start, NULL, (unsigned)threads + 1);
    for (size_t i = 0; i < threads; i++) {
        all[i] = (bench_thread){&run, work, states[i]};
        if (pthread_create(&ids[i], NULL, bench_run_thread, &all[i]) != 0)
            return 1;
    }
    pthread_barrier_wait(&run.start);
    double cpu = bench_cpu_us();
    uint64_t begin = bench_now();
    struct timespec pause = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&pause, NULL);
    atomic_store(&run.stop, 1);
    for (size_t i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    double took = (double)(bench_now() - begin) / 1e9;
    double operations = (double)atomic_load(&run.operations);
    printf("%.0f %.1f %.1f %.2f\n", operations / took, bench_percentile(&run, 0.5), bench_percentile(&run, 0.99),
           (bench_cpu_us() - cpu) / operations);
    return 0;
}

static inline int bench_usage(const char *program, const char *workloads) {
    fprintf(stderr, "usage: %s %s THREADS SECONDS\n", program, workloads);
    return 2;
}

static inline void bench_fail(const char *what) {
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

#endif
