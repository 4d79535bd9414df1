/*
 * needs: topology. Called with SERVICE HOST:PORT... The adapter of libuv: what "adapters.h" asks of each, and that a
 * loop with a queue on it is busy. libs: libuv
 */
#define _POSIX_C_SOURCE 200809L
#include <sentinel/adapters/libuv.h>

typedef uv_loop_t loop_t;
typedef sentinel_libuv_t adapter_t;
#define attach sentinel_libuv_attach
#define detach sentinel_libuv_detach
#define on_end sentinel_libuv_on_end
#define inner sentinel_libuv_handle
#define FREE_LOOP_FIRST 0
#define RUN_IN_CHILD 1
#define COPIES 1

typedef struct {
    uv_timer_t timer;
    uv_prepare_t turn;
    void (*tick)(void *user_data);
    void *user_data;
} ticker_t;

static loop_t *loop_new(void)
{
    loop_t *loop = malloc(sizeof *loop);

    uv_loop_init(loop);
    return loop;
}

static void loop_free(loop_t *loop)
{
    while (uv_run(loop, UV_RUN_NOWAIT) != 0) {
    }
    if (uv_loop_close(loop) != 0) {
        abort();
    }
    free(loop);
}

static void loop_run(loop_t *loop)
{
    uv_run(loop, UV_RUN_DEFAULT);
}

static void loop_stop(loop_t *loop)
{
    uv_stop(loop);
}

static void loop_forked(loop_t *loop)
{
    uv_loop_fork(loop);
}

static void on_timer(uv_timer_t *timer)
{
    ticker_t *ticker = timer->data;

    ticker->tick(ticker->user_data);
}

/* One that starts itself anew without a time never lets the loop go on. */
static void on_turn(uv_prepare_t *turn)
{
    ticker_t *ticker = turn->data;

    uv_timer_start(&ticker->timer, on_timer, 0, 0);
}

static ticker_t *ticker_new(loop_t *loop, int ms, void (*tick)(void *user_data), void *user_data)
{
    ticker_t *ticker = malloc(sizeof *ticker);

    ticker->tick = tick;
    ticker->user_data = user_data;
    uv_timer_init(loop, &ticker->timer);
    uv_prepare_init(loop, &ticker->turn);
    ticker->timer.data = ticker;
    ticker->turn.data = ticker;
    if (ms > 0) {
        uv_timer_start(&ticker->timer, on_timer, (uint64_t)ms, (uint64_t)ms);
    } else {
        uv_prepare_start(&ticker->turn, on_turn);
    }
    return ticker;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_turn_closed(uv_handle_t *handle)
{
    uv_close((uv_handle_t *)&((ticker_t *)handle->data)->timer, on_timer_closed);
}

static void ticker_free(ticker_t *ticker)
{
    uv_close((uv_handle_t *)&ticker->turn, on_turn_closed);
}

#include "adapters.h"

#define main every_adapter
#include "adapters_misuse.h"
#undef main

static void the_loop_is_busy_until_its_adapter_is_closed(int argc, char **argv)
{
    uv_loop_t *loop = loop_new();
    sentinel_libuv_t *adapter;
    sentinel_queue_t *queue = NULL;

    sentinel = live_open(argc, argv);
    queue = new_queue(1);
    adapter = attached(loop, queue, never, NULL);
    CHECK(uv_loop_alive(loop));
    CHECK_EQUAL(UV_EBUSY, uv_loop_close(loop));
    uv_unref(sentinel_libuv_handle(adapter));
    CHECK(!uv_loop_alive(loop));
    CHECK_EQUAL(0, uv_run(loop, UV_RUN_DEFAULT));
    detach(adapter);
    sentinel_queue_free(queue); /* at once: the loop has its own descriptor, and no longer that */
    CHECK_EQUAL(UV_EBUSY, uv_loop_close(loop));
    loop_free(loop);
    sentinel_free(sentinel);
}

int main(int argc, char **argv)
{
    the_loop_is_busy_until_its_adapter_is_closed(argc, argv);
    return every_adapter(argc, argv);
}
