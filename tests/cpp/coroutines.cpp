/*
 * needs: topology. Coroutines: where they go on, what ends their wait, and who may be destroyed meanwhile. Nothing
 * where the language has none.
 */
#include "check.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

using namespace std::chrono_literals;

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
    CHECK_EQUAL(42, add_twice(client, "cpp:coroutine").future.get());
    CHECK_THROWS(sentinel::server_error, fail(client).future.get());
}

/* A thread that runs what it is given, in order. */
class loop {
public:
    loop() : thread_([this] { run(); }) {}
    ~loop() {
        post([this] { ended_ = true; });
        thread_.join();
    }

    void post(std::function<void()> task) {
        const std::lock_guard<std::mutex> lock(mutex_);
        tasks_.push_back(std::move(task));
        some_.notify_one();
    }
    std::thread::id id() const { return thread_.get_id(); }

private:
    void run() {
        while (!ended_) {
            std::unique_lock<std::mutex> lock(mutex_);
            some_.wait(lock, [this] { return !tasks_.empty(); });
            const std::function<void()> task = std::move(tasks_.front());
            tasks_.pop_front();
            lock.unlock();
            task();
        }
    }

    std::mutex mutex_;
    std::condition_variable some_;
    std::deque<std::function<void()>> tasks_;
    bool ended_ = false;
    std::thread thread_;
};

/* By a pointer that may change: compilers take it that a function goes on on the thread that it began on. */
static std::thread::id (*volatile current_thread)() = std::this_thread::get_id;

static begun<int> hops(const sentinel::client &client, loop &first, loop &second) {
    const auto on = [](loop &to) { return [&to](sentinel::resumption task) { to.post(std::move(task)); }; };
    sentinel::reply reply = co_await client.co_command("ECHO", 1).resume_on(on(first));
    int right = current_thread() == first.id();
    reply = client.command({"ECHO", 2}); // blocking, which the callback's thread could not
    right += reply.as<int>();
    // An executor of handles that only moves. It has a name, for GCC 12 destroys twice what is made where it awaits.
    auto of_handles = [&second, only = std::make_unique<int>(1)](std::coroutine_handle<> waiter) {
        second.post([waiter] { waiter.resume(); });
    };
    reply = co_await client.co_command("ECHO", 3).resume_on(std::move(of_handles));
    right += current_thread() == second.id() ? reply.as<int>() : 100;
    // Any callable of tasks, by reference, of an awaitable that was moved.
    auto any = [&first](auto task) { first.post(std::move(task)); };
    auto made = client.co_try_command("ECHO", 4);
    auto kept = std::move(made).resume_on(std::ref(any));
    const auto tried = co_await kept;
    right += current_thread() == first.id() ? tried->as<int>() : 100;
    // What is refused goes on where it is.
    const auto refused = co_await client.co_try_command("GET", std::optional<int>()).resume_on(on(second));
    right += !refused && current_thread() == first.id() ? 5 : 100;
    co_return right;
}

static void executors_choose_the_thread(const sentinel::client &client) {
    loop first, second;
    CHECK_EQUAL(1 + 2 + 3 + 4 + 5, hops(client, first, second).future.get());
}

static begun<sentinel::outcome> blocked(const sentinel::client &client, std::promise<sentinel::canceller> &stop) {
    auto wait = client.co_try_command("BLPOP", "cpp:never", 0);
    stop.set_value(wait.canceller());
    const auto answer = co_await wait;
    CHECK(!answer && answer.error().status() == sentinel::status::cancelled);
    co_return answer.error().outcome();
}

static void waits_are_cancelled_from_another_thread(const sentinel::client &client) {
    for (int pause = 0; pause < 20; pause++) {
        std::promise<sentinel::canceller> stop;
        std::thread other([&stop, pause] {
            const sentinel::canceller canceller = stop.get_future().get();
            std::this_thread::sleep_for(std::chrono::milliseconds(pause)); // none: perhaps before it is awaited
            canceller.cancel();
            canceller(); // once more is nothing
        });
        auto waiting = blocked(client, stop);
        waiting.future.get();
        other.join();
    }
}

static begun<int> cancelled_before(const sentinel::client &client) {
    auto wait = client.co_command("INCR", "cpp:unsent");
    wait.canceller().cancel();
    try {
        co_await wait;
    } catch (const sentinel::cancelled &caught) {
        co_return caught.outcome() == sentinel::outcome::not_sent ? 1 : 2;
    }
    co_return 3;
}

static begun<int> cancelled_after(const sentinel::client &client, std::optional<sentinel::canceller> &left) {
    auto wait = client.co_command("ECHO", 7);
    left = wait.canceller();
    const auto reply = co_await wait;
    left->cancel();
    co_return reply.as<int>();
}

static begun<int> moved_from(const sentinel::client &client) {
    auto wait = client.co_try_command("ECHO", 8);
    auto kept = std::move(wait);
    wait.canceller().cancel(); // of nothing
    const auto nothing = co_await wait;
    CHECK(!nothing && nothing.error().status() == sentinel::status::invalid_argument);
    const auto answer = co_await kept;
    co_return answer->as<int>();
}

static void cancelling_is_always_allowed(const sentinel::client &client, const sentinel::deployment &deployment,
                                         const char *service) {
    CHECK_EQUAL(8, moved_from(client).future.get());
    client.command({"DEL", "cpp:unsent"});
    CHECK_EQUAL(1, cancelled_before(client).future.get());
    CHECK(client.command({"GET", "cpp:unsent"}).is_nil());
    std::optional<sentinel::canceller> left;
    {
        const sentinel::client gone = deployment.primary_for(service);
        CHECK_EQUAL(7, cancelled_after(gone, left).future.get());
    }
    left->cancel(); // its client is no more, and its wait over
    {
        const sentinel::client gone = deployment.primary_for(service);
        auto never = gone.co_command("ECHO", 1);
        left = never.canceller();
    }
    left->cancel();
}

static owned waits_for_its_turn(const sentinel::client &client, std::deque<sentinel::resumption> &tasks,
                                std::promise<void> &queued, std::shared_ptr<int> kept) {
    const auto reply = co_await client.co_command("ECHO", 1).resume_on([&](sentinel::resumption task) {
        tasks.push_back(std::move(task));
        queued.set_value();
    });
    *kept += reply.as<int>();
}

/* Its reply has come, its executor has not run it yet. */
static void a_task_outlives_its_coroutine(const sentinel::client &client) {
    const auto kept = std::make_shared<int>(0);
    for (const bool destroyed : {true, false}) {
        std::deque<sentinel::resumption> tasks;
        std::promise<void> queued;
        const owned waiting = waits_for_its_turn(client, tasks, queued, kept);
        queued.get_future().get();
        if (destroyed)
            waiting.handle.destroy();
        const sentinel::resumption task = tasks.front();
        task();
        task(); // resumed once
        CHECK_EQUAL(destroyed ? 0 : 1, *kept);
        if (!destroyed) {
            CHECK(waiting.handle.done());
            waiting.handle.destroy();
        }
    }
    CHECK_EQUAL(1, kept.use_count());
}

static begun<int> raced(const sentinel::client &client, loop &on, std::promise<sentinel::canceller> &stop, int number) {
    auto wait = client.co_try_command("ECHO", number).resume_on([&on](sentinel::resumption task) { on.post(task); });
    stop.set_value(wait.canceller());
    const auto answer = co_await wait;
    CHECK(answer ? answer->as<int>() == number : answer.error().status() == sentinel::status::cancelled);
    co_return answer.ok();
}

static void replies_and_cancels_race(const sentinel::client &client) {
    loop on;
    std::atomic<int> replies{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; thread++)
        threads.emplace_back([&, thread] {
            for (int i = 0; i < 200; i++) {
                std::promise<sentinel::canceller> stop;
                auto waiting = raced(client, on, stop, 1000 * thread + i);
                const sentinel::canceller canceller = stop.get_future().get();
                if (i % 2 == 0)
                    canceller.cancel();
                replies += waiting.future.get();
            }
        });
    for (std::thread &thread : threads)
        thread.join();
    CHECK(replies >= 400); // all that nobody cancelled
}

#endif

int main(int argc, char **argv) {
#if defined(__cpp_impl_coroutine)
    return check::run([&] {
        const sentinel::deployment deployment(check::options_of(argc, argv));
        const sentinel::client client = deployment.primary_for(argv[1]);
        coroutines_await(client);
        coroutines_may_be_destroyed(client);
        executors_choose_the_thread(client);
        waits_are_cancelled_from_another_thread(client);
        cancelling_is_always_allowed(client, deployment, argv[1]);
        a_task_outlives_its_coroutine(client);
        replies_and_cancels_race(client);
    });
#else
    static_cast<void>(argc), static_cast<void>(argv);
#endif
}
