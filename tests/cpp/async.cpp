/*
 * needs: topology. Calls that do not wait: callbacks, futures, queues, subscriptions, events, coroutines. Ends with
 * status 77 (skipped) when the library does not have some of them.
 */
#include "check.hpp"

#include <poll.h>
#include <thread>

using namespace std::chrono_literals;

static void callbacks_are_called_once(const sentinel::client &client) {
    std::promise<std::string> answered, refused;
    client.submit({"ECHO", "called"},
                  [&](sentinel::result<sentinel::reply> answer) { answered.set_value(answer->str()); });
    CHECK_EQUAL("called", answered.get_future().get());
    // What is captured moves, and is freed after the call.
    auto owned = std::make_unique<std::string>("SYNTAX");
    client.submit({"SET", "cpp:key"}, [&refused, owned = std::move(owned)](sentinel::result<sentinel::reply> answer) {
        refused.set_value(answer.ok() ? *owned : std::string(answer.error().server_code().value_or("")));
    });
    CHECK_EQUAL("ERR", refused.get_future().get());
}

static void futures_give_the_reply_or_throw(const sentinel::client &client) {
    std::vector<std::future<sentinel::reply>> futures;
    for (int i = 0; i < 100; i++)
        futures.push_back(client.async({"ECHO", i}));
    for (int i = 0; i < 100; i++)
        CHECK_EQUAL(i, futures[static_cast<std::size_t>(i)].get().as<int>());
    CHECK_THROWS(sentinel::unsupported_command, client.async({"MULTI"}).get());
    CHECK_THROWS(sentinel::server_error, client.async({"SET", "cpp:key"}).get());
}

static void queues_hold_completions(const sentinel::deployment &deployment, const sentinel::client &client) {
    const sentinel::queue queue(deployment, 64);
    CHECK(queue.poll(8, 0ms).empty());
    queue.wake();
    CHECK(queue.poll(8, sentinel::no_limit).empty());
    client.submit(queue, {"ECHO", "queued"}, 7);
    pollfd readable{queue.fd(), POLLIN, 0};
    CHECK_EQUAL(1, ::poll(&readable, 1, 60000));
    auto taken = queue.poll(8, 60s);
    CHECK_EQUAL(1u, taken.size());
    CHECK(taken[0].tag == 7 && taken[0].kind == sentinel::completion_kind::call);
    CHECK_EQUAL("queued", taken[0].answer->text());
    client.submit(queue, sentinel::batch().add({"SET", "cpp:n", 1}).add({"INCR", "cpp:n"}), 8);
    client.submit(queue, {"LPUSH", "cpp:n", "x"}, 9);
    for (int left = 2; left > 0;) {
        for (const sentinel::completion &one : queue.poll(8, 60s)) {
            left--;
            if (one.tag == 8)
                CHECK_EQUAL(2, one.answer.value()[1].as<int>());
            else
                CHECK(!one.answer && one.answer.error().status() == sentinel::status::server);
        }
    }
    const std::uint64_t id = client.submit(queue, {"BLPOP", "cpp:none", 0}, 10);
    client.cancel(id);
    taken = queue.poll(8, 60s);
    CHECK_EQUAL(1u, taken.size());
    CHECK(!taken[0].answer && taken[0].answer.error().status() == sentinel::status::cancelled);
    CHECK_THROWS(sentinel::cancelled, taken[0].answer.value());
    client.submit(queue, {"PING"}, 11); // left in the queue: freed with it
}

static void messages_arrive(const sentinel::deployment &deployment, const sentinel::client &client) {
    const sentinel::queue queue(deployment, 1024);
    const sentinel::subscription subscription(client, queue, 5);
    subscription.add("cpp:channel");
    bool arrived = false;
    for (int tries = 0; tries < 600 && !arrived; tries++) { // the server may not have been told yet
        client.command({"PUBLISH", "cpp:channel", "hello"});
        for (const sentinel::completion &one : queue.poll(16, 100ms)) {
            CHECK(one.tag == 5 && one.kind == sentinel::completion_kind::message);
            const sentinel::reply &message = one.answer.value();
            CHECK(!message.empty());
            arrived = arrived || message[message.size() - 1].text() == "hello";
        }
    }
    CHECK(arrived);
    subscription.remove("cpp:channel");
}

static void events_and_metrics(const sentinel::deployment &deployment, const sentinel::client &client) {
    const sentinel::queue queue(deployment, 64);
    deployment.watch_events(SENTINEL_EVENT_PRIMARY_CHANGED, queue, 3);
    deployment.unwatch_events(queue);
    client.command({"PING"});
    CHECK(deployment.metric("commands_total") >= 0);
    CHECK(!deployment.metrics_text().empty());
    CHECK_EQUAL('{', deployment.describe().at(0));
}

#if defined(__cpp_impl_coroutine)

/* A coroutine that begins at once and keeps its result, or what it threw. */
template <class T> struct begun {
    struct promise_type {
        std::promise<T> kept;
        begun get_return_object() { return {kept.get_future()}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_value(T value) { kept.set_value(std::move(value)); }
        void unhandled_exception() { kept.set_exception(std::current_exception()); }
    };
    std::future<T> future;
};

static begun<int> add_twice(const sentinel::client &client, std::string key) {
    sentinel::reply reply = co_await client.co_command("SET", key, 40);
    for (int i = 0; i < 2; i++) {
        const sentinel::arguments increment{"INCR", key};
        auto kept = client.co_command(increment, {30s});
        reply = co_await kept;
    }
    co_return reply.as<int>();
}

static begun<int> fail(const sentinel::client &client) {
    const auto reply = co_await client.co_command("SET", "cpp:key");
    co_return reply.as<int>();
}

/* A coroutine that its owner may destroy. */
struct owned {
    struct promise_type {
        owned get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
};

static owned wait_for_ever(const sentinel::client &client, std::shared_ptr<int> kept) {
    const auto reply = co_await client.co_command("BLPOP", "cpp:never", 0);
    *kept += reply.is_nil() ? 1 : 2;
}

/* Destroyed while it waits, it is never resumed, and its call ends. */
static void coroutines_may_be_destroyed(const sentinel::client &client) {
    const auto blocked = [&] {
        const std::string info = client.command({"INFO", "clients"}).str();
        const std::size_t at = info.find("blocked_clients:");
        return info.compare(at, 17, "blocked_clients:0") != 0;
    };
    const auto resumed = std::make_shared<int>(0);
    for (int i = 0; i < 40; i++) {
        const owned waiting = wait_for_ever(client, resumed);
        if (i % 2 == 0)
            std::this_thread::sleep_for(std::chrono::milliseconds(i / 4));
        CHECK(!waiting.handle.done());
        waiting.handle.destroy();
    }
    for (int tries = 0; tries < 3000 && blocked(); tries++)
        std::this_thread::sleep_for(10ms);
    CHECK(!blocked());
    CHECK_EQUAL(1, resumed.use_count());
    CHECK_EQUAL(0, *resumed);
}

static void coroutines_await(const sentinel::client &client) {
    coroutines_may_be_destroyed(client);
    CHECK_EQUAL(42, add_twice(client, "cpp:coroutine").future.get());
    CHECK_THROWS(sentinel::server_error, fail(client).future.get());
}

#endif

/* Returns 1 when the library says that it does not have what the test needs. */
template <class Test> static int skips(const char *name, Test test) {
    try {
        test();
        return 0;
    } catch (const sentinel::unavailable &missing) {
        std::cout << "skipped: " << name << ": " << missing.what() << '\n';
        return 1;
    }
}

int main(int argc, char **argv) {
    int skipped = 0;
    const int failed = check::run([&] {
        const sentinel::deployment deployment(check::options_of(argc, argv));
        const sentinel::client client = deployment.primary_for(argv[1]);
        skipped += skips("callbacks", [&] { callbacks_are_called_once(client); });
        skipped += skips("futures", [&] { futures_give_the_reply_or_throw(client); });
        skipped += skips("queues", [&] { queues_hold_completions(deployment, client); });
        skipped += skips("subscriptions", [&] { messages_arrive(deployment, client); });
        skipped += skips("events and metrics", [&] { events_and_metrics(deployment, client); });
#if defined(__cpp_impl_coroutine)
        skipped += skips("coroutines", [&] { coroutines_await(client); });
#endif
    });
    return failed != 0 ? failed : skipped > 0 ? 77 : 0;
}
