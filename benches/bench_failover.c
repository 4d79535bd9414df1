/*
 * bench_failover.c: eight threads write 100 times a second each, through a failover.
 *
 *     bench_failover SERVICE HOST:PORT[,HOST:PORT...] SECONDS FORESEE
 *
 * Prints `begun` once all of them write; afterwards a line for each 50 ms: milliseconds, acknowledged, failed with the
 * outcome UNKNOWN, failed otherwise. Exits with 1 when a write failed otherwise.
 */
#define _POSIX_C_SOURCE 200809L
#include <sentinel.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WRITERS = 8, PAUSE_MS = 10, BIN_MS = 50, BINS = 1200 };

static sentinel_client_t *client;
static int64_t begun, lasts;
static atomic_uint acknowledged[BINS], unknown[BINS], others;

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void *write_on(void *argument) {
    char key[32];
    snprintf(key, sizeof key, "bench:failover:%d", *(int *)argument);
    sentinel_call_t call = SENTINEL_CALL_INIT;
    call.timeout_ms = 20000;
    for (int64_t next = begun; next < begun + lasts; next += PAUSE_MS) {
        const struct timespec until = {(time_t)(next / 1000), (long)(next % 1000) * 1000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        sentinel_error_t *error = NULL;
        sentinel_status_t status = sentinel_command(client, SENTINEL_ARGS("SET", key, "x"), NULL, &call, NULL, &error);
        int64_t at = now_ms();
        int64_t bin = (at - begun) / BIN_MS;
        if (status == SENTINEL_OK && bin < BINS)
            atomic_fetch_add(&acknowledged[bin], 1);
        else if (sentinel_error_outcome(error) == SENTINEL_OUTCOME_UNKNOWN && bin < BINS)
            atomic_fetch_add(&unknown[bin], 1);
        else
            atomic_fetch_add(&others, 1);
        sentinel_error_free(error);
        /* What was missed in a wait is not made up for. */
        if (at > next + PAUSE_MS)
            next = at;
    }
    return NULL;
}

int main(int argc, char **argv) {
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_error_t *error = NULL;
    char url[512];
    pthread_t threads[WRITERS];
    int numbers[WRITERS];
    if (argc != 5)
        return 2;
    lasts = strtol(argv[3], NULL, 10) * 1000;
    snprintf(url, sizeof url, "redis+sentinel://%s/%s", argv[2], argv[1]);
    if (sentinel_options_parse_url(options, url, &error) != SENTINEL_OK ||
        sentinel_options_set(options, "failover.foresee", argv[4], &error) != SENTINEL_OK ||
        sentinel_open(options, &sentinel, &error) != SENTINEL_OK ||
        sentinel_primary_for(sentinel, NULL, NULL, &client, &error) != SENTINEL_OK ||
        sentinel_client_connect(client, 0, &error) != SENTINEL_OK) {
        fprintf(stderr, "%s\n", sentinel_error_message(error, NULL));
        return 1;
    }
    begun = now_ms();
    puts("begun");
    fflush(stdout);
    for (int i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, write_on, &numbers[i]);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    /* The last one is not whole. */
    for (int64_t bin = 0; bin + 1 < lasts / BIN_MS && bin < BINS; bin++)
        printf("%d %u %u\n", (int)bin * BIN_MS, atomic_load(&acknowledged[bin]), atomic_load(&unknown[bin]));
    printf("others %u\n", atomic_load(&others));
    sentinel_client_free(client);
    sentinel_free(sentinel);
    sentinel_options_free(options);
    return atomic_load(&others) != 0;
}
