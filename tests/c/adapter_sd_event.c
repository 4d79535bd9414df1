/*
 * needs: topology. Called with SERVICE HOST:PORT... The adapter of sd-event: what "adapters.h" asks of each.
 * libs: libsystemd
 */
#define _POSIX_C_SOURCE 200809L
#include <sentinel/adapters/sd-event.h>

#include <time.h>

typedef sd_event loop_t;
typedef sentinel_sd_event_t adapter_t;
#define attach sentinel_sd_event_attach
#define detach sentinel_sd_event_detach
#define on_end sentinel_sd_event_on_end
#define inner sentinel_sd_event_source
#define FREE_LOOP_FIRST 1
#define RUN_IN_CHILD 0
#define COPIES 1

typedef struct {
    sd_event_source *source;
    uint64_t every;
    void (*tick)(void *user_data);
    void *user_data;
} ticker_t;

static _Thread_local int stopped;

static loop_t *loop_new(void)
{
    sd_event *loop = NULL;

    if (sd_event_new(&loop) < 0) {
        abort();
    }
    return loop;
}

static void loop_free(loop_t *loop)
{
    sd_event_unref(loop);
}

/* sd_event_loop runs once in a loop's life. */
static void loop_run(loop_t *loop)
{
    for (stopped = 0; !stopped;) {
        if (sd_event_run(loop, (uint64_t)-1) < 0) {
            abort();
        }
    }
}

static void loop_stop(loop_t *loop)
{
    (void)loop;
    stopped = 1;
}

static void loop_forked(loop_t *loop)
{
    (void)loop;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
    ticker_t *ticker = data;

    if (sd_event_source_set_time(source, ticker->every == 0 ? 0 : usec + ticker->every) < 0 ||
        sd_event_source_set_enabled(source, SD_EVENT_ON) < 0) {
        abort();
    }
    ticker->tick(ticker->user_data);
    return 0;
}

static ticker_t *ticker_new(loop_t *loop, int ms, void (*tick)(void *user_data), void *user_data)
{
    ticker_t *ticker = malloc(sizeof *ticker);
    uint64_t now = 0;

    ticker->tick = tick;
    ticker->user_data = user_data;
    ticker->every = (uint64_t)ms * 1000;
    ticker->source = NULL;
    if (sd_event_now(loop, CLOCK_MONOTONIC, &now) < 0 ||
        sd_event_add_time(loop, &ticker->source, CLOCK_MONOTONIC, ms == 0 ? 0 : now + ticker->every, 1, on_timer,
                          ticker) < 0) {
        abort();
    }
    return ticker;
}

static void ticker_free(ticker_t *ticker)
{
    sd_event_source_disable_unref(ticker->source);
    free(ticker);
}

#include "adapters.h"

#include "adapters_misuse.h"
