/*
 * needs: topology. Calls that do not wait: callbacks, futures, queues, subscriptions, events. Ends with
 * status 77 (skipped) when the library does not have some of them.
 */
#include "check.hpp"

#include <sentinel/future.hpp>

#include <limits>
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
    const sentinel::queue queue(deployment, 64), many(deployment, 200);
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
    for (std::uint64_t tag = 0; tag < 200; tag++)
        client.submit(many, {"ECHO", tag}, tag);
    std::vector<bool> seen(200);
    for (std::size_t left = seen.size(); left > 0;) {
        for (const sentinel::completion &one : many.poll(std::numeric_limits<std::size_t>::max(), 60s)) {
            CHECK_EQUAL(one.tag, one.answer.value().as<std::uint64_t>());
            CHECK(!seen[one.tag]);
            seen[one.tag] = true;
            left--;
        }
    }
    for (std::uint64_t tag = 0; tag < 200; tag++)
        client.submit(many, {"PING"}, tag);
    for (std::size_t left = 200; left > 0;) {
        taken = many.poll(left > 70 ? 70 : left, 60s);
        CHECK(!taken.empty() && taken.size() <= 70);
        left -= taken.size();
    }
    CHECK(many.poll(0, 0ms).empty() && many.poll(1, 0ms).empty());
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
    });
    return failed != 0 ? failed : skipped > 0 ? 77 : 0;
}
