/*
 * needs: topology. Called with SERVICE HOST:PORT... The adapter of libevent: what "adapters.h" asks of each.
 * libs: libevent
 */
#define _POSIX_C_SOURCE 200809L
#include <sentinel/adapters/libevent.h>

typedef struct event_base loop_t;
typedef sentinel_libevent_t adapter_t;
#define attach sentinel_libevent_attach
#define detach sentinel_libevent_detach
#define on_end sentinel_libevent_on_end
#define inner sentinel_libevent_event
#define loop_free event_base_free
#define FREE_LOOP_FIRST 0
#define RUN_IN_CHILD 1
#define COPIES 0

typedef struct {
    struct event *event;
    void (*tick)(void *user_data);
    void *user_data;
} ticker_t;

/* With a clock that knows less than 4 ms: whose timers are due is not a matter of luck. */
static loop_t *loop_new(void)
{
    struct event_config *config = event_config_new();
    loop_t *loop;

    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    loop = event_base_new_with_config(config);
    event_config_free(config);
    return loop;
}

static void loop_run(loop_t *loop)
{
    event_base_dispatch(loop);
}

static void loop_stop(loop_t *loop)
{
    event_base_loopbreak(loop);
}

static void loop_forked(loop_t *loop)
{
    event_reinit(loop);
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
    ticker_t *ticker = data;

    (void)fd;
    (void)what;
    ticker->tick(ticker->user_data);
}

static ticker_t *ticker_new(loop_t *loop, int ms, void (*tick)(void *user_data), void *user_data)
{
    ticker_t *ticker = malloc(sizeof *ticker);
    struct timeval every = {0, ms > 0 ? ms * 1000 : 1}; /* none at all is once */

    ticker->tick = tick;
    ticker->user_data = user_data;
    ticker->event = event_new(loop, -1, EV_PERSIST, on_timer, ticker);
    event_add(ticker->event, &every);
    return ticker;
}

static void ticker_free(ticker_t *ticker)
{
    event_free(ticker->event);
    free(ticker);
}

#include "adapters.h"

#define main every_adapter
#include "adapters_misuse.h"
#undef main

static void on_foreign(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    (void)data;
    CHECK(!"a pipe that nobody has written to is readable");
}

/*
 * A loop that tells the kernel only in its next turn what it watches no longer. What is opened between has the first
 * number that is free, and hears nothing of a queue that was detached.
 */
static void a_loop_that_gathers_its_changes(int argc, char **argv)
{
    struct event_config *config = event_config_new();
    struct leaving leaving = {NULL, NULL, NULL, seen_new(2), 1, 0};
    struct timeval half_a_second = {0, 500000};
    struct event *foreign;
    int ends[2];

    sentinel = live_open(argc, argv);
    client = live_primary(sentinel, argv[1]);
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    leaving.loop = event_base_new_with_config(config);
    event_config_free(config);
    leaving.queue = new_queue(2);
    leaving.adapter = attached(leaving.loop, leaving.queue, on_leaving, &leaving);
    submit(leaving.queue, 0);
    loop_run(leaving.loop);
    CHECK(leaving.adapter == NULL && pipe(ends) == 0);
    foreign = event_new(leaving.loop, ends[0], EV_READ | EV_PERSIST, on_foreign, NULL);
    event_add(foreign, NULL);
    submit(leaving.queue, 1);
    CHECK(readable(leaving.queue, 60000));
    event_base_loopexit(leaving.loop, &half_a_second);
    loop_run(leaving.loop);
    event_free(foreign);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    see_rest(&leaving.seen, leaving.queue);
    sentinel_queue_free(leaving.queue);
    loop_free(leaving.loop);
    sentinel_client_free(client);
    sentinel_free(sentinel);
}

int main(int argc, char **argv)
{
    a_loop_that_gathers_its_changes(argc, argv);
    return every_adapter(argc, argv);
}
