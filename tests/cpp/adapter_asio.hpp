/*
 * What the adapter of Asio must do, whichever Asio `net` is.
 */
#ifndef ADAPTER_ASIO_HPP
#define ADAPTER_ASIO_HPP

#include "check.hpp"

#include <poll.h>
#include <set>
#include <stdexcept>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

constexpr std::size_t each = 1000;
constexpr std::size_t kill_after = 300;

/* Of each test the same. */
struct topology {
    const sentinel::deployment &deployment;
    const sentinel::client &client;
    const char *service;

    sentinel::queue queue(std::size_t capacity) const { return sentinel::queue(deployment, capacity); }

    /* An ECHO of its tag, which may be repeated: a failover loses none. */
    void submit(const sentinel::queue &to, std::uint64_t tag) const {
        sentinel::call_options options;
        options.retry_unknown = true;
        client.submit(to, {"ECHO", tag}, tag, options);
    }
    void submit(const sentinel::queue &to, std::uint64_t from, std::uint64_t end) const {
        for (; from < end; from++)
            submit(to, from);
    }
};

bool readable(const sentinel::queue &queue) {
    pollfd entry{queue.fd(), POLLIN, 0};
    return ::poll(&entry, 1, 60000) == 1;
}

/* The tags that were answered, each once and with its own text. */
struct seen : std::set<std::uint64_t> {
    void operator()(const sentinel::completion &one) {
        CHECK(one.kind == sentinel::completion_kind::call);
        CHECK_EQUAL(one.tag, one.answer.value().as<std::uint64_t>());
        CHECK(insert(one.tag).second);
    }

    void rest(const sentinel::queue &queue, std::size_t all) {
        while (size() < all)
            for (const auto &one : queue.poll(64, 60s))
                (*this)(one);
        CHECK(queue.poll(1, 0ms).empty());
    }
};

[[noreturn]] void never() { check::fail(__FILE__, __LINE__, "called or told"); }

/* Calls `tick` every so often, until it is gone. */
class ticker {
public:
    ticker(net::io_context &context, std::chrono::milliseconds every, std::function<void()> tick)
        : timer_(context), every_(every), tick_(std::move(tick)) {
        wait();
    }

private:
    void wait() {
        timer_.expires_after(every_);
        timer_.async_wait([this](const auto &failed) {
            if (failed)
                return;
            wait();
            tick_();
        });
    }

    net::steady_timer timer_;
    std::chrono::milliseconds every_;
    std::function<void()> tick_;
};

void two_threads_submit_through_a_failover(const topology &on) {
    net::io_context context;
    const sentinel::queue calls = on.queue(2 * each), news = on.queue(64);
    const auto thread = std::this_thread::get_id();
    seen answered;
    std::size_t submitted = 0;
    bool changed = false;
    const auto ended = [&] {
        if (answered.size() == 2 * each && changed)
            context.stop();
    };
    const sentinel::asio_adapter first(context, calls, [&](const sentinel::completion &one) {
        CHECK(std::this_thread::get_id() == thread);
        answered(one);
        ended();
    });
    const sentinel::asio_adapter second(context, news, [&](sentinel::completion one) {
        CHECK(one.kind == sentinel::completion_kind::event && one.tag == 7);
        changed = true;
        ended();
    });
    on.deployment.watch_events(SENTINEL_EVENT_PRIMARY_CHANGED, news, 7);
    const ticker clock(context, 1ms, [&] {
        if (submitted < each)
            on.submit(calls, submitted++);
    });
    std::thread other([&] {
        for (std::size_t i = 0; i < each; i++) {
            if (i == kill_after) {
                const char *lab = std::getenv("LAB");
                CHECK(lab != nullptr);
                CHECK_EQUAL(0, std::system(('"' + std::string(lab) + "\" ctl kill-primary >/dev/null").c_str()));
            }
            on.submit(calls, each + i);
        }
    });
    context.run();
    other.join();
    answered.rest(calls, 2 * each);
}

/* What was not handed over is in the queue, for the next attachment and then for a poll. */
void the_callable_detaches(const topology &on) {
    net::io_context context;
    const sentinel::queue queue = on.queue(each);
    seen answered;
    on.submit(queue, 0, each);
    for (std::size_t most = 10; most < each; most += 99) {
        sentinel::asio_adapter adapter;
        adapter = sentinel::asio_adapter(context, queue, [&](sentinel::completion one) {
            answered(one);
            if (answered.size() == most)
                adapter.detach();
        });
        context.run(); // for want of work it returns
        context.restart();
        CHECK_EQUAL(most, answered.size());
    }
    answered.rest(queue, each);
}

/* What the program gave is its own again when detach has returned, though the context has not run since. */
void detaching_destroys_what_was_given(const topology &on) {
    net::io_context context;
    const sentinel::queue queue = on.queue(1);
    const auto held = std::make_shared<int>();
    sentinel::asio_adapter adapter(context, queue, [held](const auto &) {});
    adapter.on_end([held](sentinel::status) {});
    CHECK_EQUAL(3, held.use_count());
    adapter.detach();
    CHECK_EQUAL(1, held.use_count());
}

/* The callable destroys all that it was called for, and itself when it returns. */
void the_callable_destroys_everything(const topology &on) {
    net::io_context context;
    auto queue = std::make_unique<sentinel::queue>(on.queue(each));
    auto adapter = std::make_unique<sentinel::asio_adapter>();
    const auto alive = std::make_shared<int>(0);
    *adapter = sentinel::asio_adapter(context, *queue, [&, alive](const sentinel::completion &) {
        ++*alive;
        adapter.reset();
        queue.reset();
        CHECK_EQUAL(2, alive.use_count());
    });
    on.submit(*queue, 0, each);
    context.run();
    CHECK_EQUAL(1, *alive);
    CHECK_EQUAL(1, alive.use_count());
}

void detached_with_calls_under_way(const topology &on) {
    net::io_context context;
    const sentinel::queue queue = on.queue(each);
    const auto alive = std::make_shared<int>(0);
    seen answered;
    {
        sentinel::asio_adapter adapter(context, queue, [alive](const sentinel::completion &) { never(); });
        adapter.on_end([](sentinel::status) { never(); });
        on.submit(queue, 0, each);
        CHECK_EQUAL(2, alive.use_count());
    }
    CHECK_EQUAL(1, alive.use_count()); // at once
    CHECK(readable(queue));
    context.run();
    answered.rest(queue, each);
}

/* Both are readable when the context looks: the one that is called first detaches the other. */
void two_queues_and_one_detaches_the_other(const topology &on) {
    net::io_context context;
    const sentinel::queue queues[] = {on.queue(each), on.queue(each)};
    sentinel::asio_adapter adapters[2];
    seen answered[2];
    for (std::size_t i = 0; i < 2; i++) {
        on.submit(queues[i], 0, each);
        CHECK(readable(queues[i]));
        adapters[i] = sentinel::asio_adapter(context, queues[i], [&, i](sentinel::completion one) {
            answered[i](one);
            adapters[1 - i].detach();
            if (answered[i].size() == each)
                adapters[i].detach();
        });
    }
    context.run();
    CHECK_EQUAL(each, answered[0].size() + answered[1].size());
    for (std::size_t i = 0; i < 2; i++)
        answered[i].rest(queues[i], each);
}

/* Twice on one context: each completion reaches one of them; and on two contexts with a thread each. */
void one_queue_attached_twice(const topology &on) {
    net::io_context context;
    const sentinel::queue queue = on.queue(each);
    seen answered;
    const auto count = [&](sentinel::completion one) {
        answered(one);
        if (answered.size() == each)
            context.stop();
    };
    sentinel::asio_adapter first(context, queue, count);
    const sentinel::asio_adapter second(context, queue, count);
    on.submit(queue, 0, each);
    context.run();
    answered.rest(queue, each);
    answered.clear();
    first.detach(); // the other one goes on
    context.restart();
    on.submit(queue, 0, each);
    context.run();
    answered.rest(queue, each);
}

/* Four threads, one strand: the callable runs once at a time. */
void on_a_strand_of_four_threads(const topology &on) {
    net::io_context context;
    const auto strand = net::make_strand(context.get_executor());
    const sentinel::queue queue = on.queue(each);
    seen answered;
    std::size_t submitted = 0;
    sentinel::asio_adapter adapter;
    adapter = sentinel::asio_adapter(strand, queue, [&](sentinel::completion one) {
        answered(one); // not under a lock
        if (submitted < each)
            on.submit(queue, submitted++);
        if (answered.size() == each)
            adapter.detach();
    });
    while (submitted < 100)
        on.submit(queue, submitted++);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&] { context.run(); });
    for (auto &thread : threads)
        thread.join();
    answered.rest(queue, each);
}

/* A queue that is never empty leaves timers their turns. */
void timers_have_their_turns(const topology &on) {
    constexpr std::size_t busy = 5000;
    net::io_context context;
    const sentinel::queue queue = on.queue(busy);
    seen answered;
    std::size_t between = 0, most = 0, submitted = 0;
    while (submitted < 200)
        on.submit(queue, submitted++);
    const sentinel::asio_adapter adapter(context, queue, [&](sentinel::completion one) {
        answered(one);
        most = std::max(most, ++between);
        if (submitted < busy)
            on.submit(queue, submitted++);
        if (answered.size() == busy)
            context.stop();
        else
            CHECK(readable(queue));
    });
    const ticker clock(context, 0ms, [&] { between = 0; });
    context.run();
    if (most > 3 * SENTINEL_ADAPTER_TURN)
        check::fail(__FILE__, __LINE__, std::to_string(most) + " completions between two turns of a timer");
    answered.rest(queue, busy);
}

/* What the callable throws leaves run(), and loses nothing. */
void exceptions_leave_the_context(const topology &on) {
    net::io_context context;
    const sentinel::queue queue = on.queue(each);
    seen answered;
    int caught = 0;
    sentinel::asio_adapter adapter;
    adapter = sentinel::asio_adapter(context, queue, [&](sentinel::completion one) {
        answered(one);
        if (answered.size() == each)
            adapter.detach();
        if (one.tag % 100 == 0)
            throw std::runtime_error("thrown");
    });
    on.submit(queue, 0, each);
    for (bool over = false; !over;) {
        try {
            context.run();
            over = true;
        } catch (const std::runtime_error &error) {
            CHECK_EQUAL("thrown", std::string(error.what()));
            caught++;
        }
    }
    CHECK_EQUAL(10, caught);
    answered.rest(queue, each);
}

void a_context_that_is_gone_first(const topology &on) {
    auto context = std::make_unique<net::io_context>();
    const sentinel::queue queue = on.queue(each);
    const auto alive = std::make_shared<int>(0);
    seen answered;
    sentinel::asio_adapter adapter(*context, queue, [alive](const sentinel::completion &) { never(); });
    on.submit(queue, 0, each);
    sentinel::asio_adapter moved = std::move(adapter);
    context.reset();
    CHECK_EQUAL(1, alive.use_count());
    moved.on_end([](sentinel::status) { never(); });
    moved.detach();
    answered.rest(queue, each);
}

void no_descriptor_left(const topology &on) {
#if !defined(__SANITIZE_ADDRESS__) // which needs descriptors itself
    net::io_context context;
    const sentinel::queue queue = on.queue(1);
    rlimit limit{};
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    // One after the other: none at all; none for the copy; then for what the context itself needs.
    const rlim_t free = static_cast<rlim_t>(::dup(0));
    ::close(static_cast<int>(free));
    int refused = 0;
    for (const rlim_t most : {rlim_t{1}, free + 1, free + 2, free + 3}) {
        rlimit few = limit;
        few.rlim_cur = most;
        CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
        const auto without = sentinel::asio_adapter::try_attach(context.get_executor(), queue, [](const auto &) {});
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        CHECK(without || without.error().status() == sentinel::status::internal);
        CHECK(without || without.error().message() != sentinel_status_message(SENTINEL_ERR_INTERNAL));
        refused += !without;
    }
    CHECK(refused >= 3);
#else
    static_cast<void>(on);
#endif
}

void misuse_has_a_status(const topology &on) {
    net::io_context context;
    sentinel::queue queue = on.queue(1);
    const sentinel::queue other = std::move(queue);
    CHECK_THROWS(sentinel::usage_error, sentinel::asio_adapter(context, queue, [](const auto &) {}));
    sentinel::asio_adapter none;
    none.detach();
    none.on_end({});
}

/* With as many calls under way as fill a turn, and with fewer. */
void told_of_the_end(const topology &on, int argc, char **argv, int calls) {
    const sentinel::deployment deployment(check::options_of(argc, argv));
    const sentinel::client client = deployment.primary_for(on.service);
    const sentinel::queue queue(deployment, static_cast<std::size_t>(calls));
    net::io_context context;
    int closed = 0, told = 0;
    auto adapter = std::make_unique<sentinel::asio_adapter>(context, queue, [&](sentinel::completion one) {
        CHECK(one.answer.error().status() == sentinel::status::closed);
        closed++;
    });
    adapter->on_end([&](sentinel::status why) {
        CHECK(why == sentinel::status::closed);
        told++;
        adapter->on_end({});
        adapter.reset();
    });
    for (int i = 0; i < calls; i++)
        client.submit(queue, {"BLPOP", "none", 0}, 1);
    deployment.close(30s);
    context.run();
    CHECK(closed == calls && told == 1 && !adapter);
    const auto again = sentinel::asio_adapter::try_attach(context.get_executor(), queue, [](const auto &) {});
    CHECK(!again && again.error().status() == sentinel::status::closed);
}

/* Another program ends the child: no tool looks for what it has inherited. */
void in_a_forked_child(const topology &on) {
    net::io_context context;
    const sentinel::queue queue = on.queue(each);
    seen answered;
    int told = 0;
    sentinel::asio_adapter adapter;
    adapter = sentinel::asio_adapter(context, queue, [&](sentinel::completion one) {
        answered(one);
        if (answered.size() == each)
            adapter.detach();
    });
    on.submit(queue, 0);
    CHECK(readable(queue));
    context.notify_fork(net::execution_context::fork_prepare);
    const pid_t child = fork();
    if (child == 0) {
        context.notify_fork(net::execution_context::fork_child);
        adapter.on_end([&](sentinel::status why) { told += why == sentinel::status::forked; });
        context.run(); // readable, for the parent has left something there
        const auto again = sentinel::asio_adapter::try_attach(context.get_executor(), queue, [](const auto &) {});
        if (told == 1 && answered.empty() && !again && again.error().status() == sentinel::status::forked)
            execl("/bin/sh", "sh", "-c", "exit 0", static_cast<char *>(nullptr));
        _exit(1);
    }
    context.notify_fork(net::execution_context::fork_parent);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    on.submit(queue, 1, each);
    context.run();
    answered.rest(queue, each);
}

} // namespace

int main(int argc, char **argv) {
    return check::run([&] {
        const sentinel::deployment deployment(check::options_of(argc, argv));
        const sentinel::client client = deployment.primary_for(argv[1]);
        const topology on{deployment, client, argv[1]};
        two_threads_submit_through_a_failover(on);
        the_callable_detaches(on);
        the_callable_destroys_everything(on);
        detaching_destroys_what_was_given(on);
        detached_with_calls_under_way(on);
        two_queues_and_one_detaches_the_other(on);
        one_queue_attached_twice(on);
        on_a_strand_of_four_threads(on);
        timers_have_their_turns(on);
        exceptions_leave_the_context(on);
        a_context_that_is_gone_first(on);
        no_descriptor_left(on);
        misuse_has_a_status(on);
        told_of_the_end(on, argc, argv, 3);
        told_of_the_end(on, argc, argv, SENTINEL_ADAPTER_TURN);
        in_a_forked_child(on);
    });
}

#endif
