/*
 * The part of storm.cpp that waits otherwise: coroutines, subscriptions, deployments that are closed under their calls,
 * and children of fork().
 */
#ifndef STORM_WAITS_HPP
#define STORM_WAITS_HPP

/* The executor of one thread: coroutines go on where it takes what was posted. */
class mailbox {
public:
    void post(sentinel::resumption task) {
        const std::lock_guard<std::mutex> lock(mutex_);
        tasks_.push_back(std::move(task));
        some_.notify_one();
    }

    /* Runs one; false when none came in time. */
    bool run_one(std::chrono::microseconds within) {
        std::unique_lock<std::mutex> lock(mutex_);
        if (!some_.wait_for(lock, within, [this] { return !tasks_.empty(); }))
            return false;
        const sentinel::resumption task = std::move(tasks_.front());
        tasks_.pop_front();
        const bool again = ++ran_ % 3 == 0;
        lock.unlock();
        task();
        if (again)
            task(); // which is nothing
        return true;
    }

private:
    std::mutex mutex_;
    std::condition_variable some_;
    std::deque<sentinel::resumption> tasks_;
    int ran_ = 0;
};

/* A coroutine that its owner destroys, whether it has ended or waits. */
class owned {
public:
    struct promise_type {
        owned get_return_object() { return owned(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
    owned(owned &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    owned &operator=(owned &&) = delete;
    ~owned() {
        if (handle_)
            handle_.destroy();
    }
    bool done() const { return handle_.done(); }

private:
    explicit owned(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    std::coroutine_handle<promise_type> handle_;
};

inline owned awaiting(storm &of, const sentinel::client &client, attempt made, std::string want,
                      std::shared_ptr<mailbox> on, std::optional<sentinel::canceller> &stop) {
    auto executor = [on](sentinel::resumption task) { on->post(std::move(task)); };
    const sentinel::arguments command{"ECHO", want};
    auto wait = client.co_try_command(command, made.options()).resume_on(std::move(executor));
    stop = wait.canceller();
    const auto answer = co_await wait;
    if (of.end(made, answer))
        of.same("coroutine", want, answer->text());
    // Another wait, which nobody cancels.
    attempt second = made;
    second.cancels = false, second.limit = 0ms, second.unrest = of.unrest;
    second.stall = of.stall, second.begun = clock_type::now();
    auto same_executor = [on](sentinel::resumption task) { on->post(std::move(task)); };
    const sentinel::arguments another{"ECHO", want + '2'};
    auto again = client.co_try_command(another, second.options()).resume_on(std::move(same_executor));
    const auto last = co_await again;
    if (of.end(second, last))
        of.same("coroutine", want + '2', last->text());
}

/* Of something that never comes: it is destroyed, and its place in the pool is free again. */
inline owned awaiting_for_ever(storm &of, const sentinel::client &client, std::shared_ptr<mailbox> on) {
    auto executor = [on](sentinel::resumption task) { on->post(std::move(task)); };
    const sentinel::arguments command{"BLPOP", "storm:none:" + of.unique(), 0};
    auto wait = client.co_try_command(command, {30s}).resume_on(std::move(executor));
    const auto answer = co_await wait;
    if (answer)
        of.broke("BLPOP of nothing gave something");
}

/* Some are cancelled, some destroyed while they wait or when their reply is here, some end. */
void worker::awaits() {
    const auto on = std::make_shared<mailbox>();
    std::deque<owned> all;
    if (random_.one_in(4)) {
        const owned never = awaiting_for_ever(storm_, primary_, on);
        on->run_one(random_.within(2ms));
    }
    std::vector<std::optional<sentinel::canceller>> stops(20);
    const int many = 1 + random_.below(20);
    for (int i = 0; i < many; i++) {
        const attempt made = storm_.begin("coroutine", random_, false, true);
        const auto at = static_cast<std::size_t>(i);
        all.push_back(awaiting(storm_, either(), made, storm_.unique(), on, stops[at]));
        if (made.cancels)
            stops[at]->cancel();
        if (random_.one_in(3))
            on->run_one(random_.within(1ms));
        if (random_.one_in(6))
            all.pop_back(); // as it is
    }
    while (!all.empty()) {
        if (all.front().done() || random_.one_in(10))
            all.pop_front();
        else if (!on->run_one(20s))
            return storm_.broke("a coroutine has not gone on in 20 s");
    }
    if (random_.one_in(2))
        stops[0]->cancel(); // when all is over
    on->run_one(0us);
}

/*
 * Each message comes once and in order, or there is a gap, which is told in front of the first message after it. A call
 * that was given up may publish after the next.
 */
void worker::hear() {
    enum fate { may_have, reached, nobody, never };
    const std::string channel = "storm:channel:" + storm_.unique(), end = "end:" + storm_.unique();
    const sentinel::queue queue(deployment_, 65536);
    const sentinel::subscription subscription(primary_, queue, 7);
    subscription.add(channel, sentinel::channel_kind::channel, true);
    std::vector<std::string> heard;
    const auto listen = [&](ms within) {
        for (const auto &each : queue.poll(64, within)) {
            if (each.tag != 7 || !each.answer)
                storm_.broke("a subscription told of a failure");
            else if (each.kind == sentinel::completion_kind::message)
                heard.push_back((*each.answer)[2].str());
            else
                for (const auto &[name, value] : each.answer->pairs())
                    if (name.text() == "event")
                        heard.push_back(value.str());
        }
    };
    const auto listen_until = [&](const std::string &word, bool publishes) {
        for (const auto limit = clock_type::now() + 30s; clock_type::now() < limit; listen(100ms)) {
            if (publishes)
                static_cast<void>(primary_.try_command({"PUBLISH", channel, word}));
            if (std::find(heard.begin(), heard.end(), word) != heard.end())
                return true;
        }
        storm_.broke("a subscription has not told of " + word + " in 30 s");
        return false;
    };
    if (!listen_until("subscribed", false))
        return;
    std::vector<fate> fates(static_cast<std::size_t>(random_.below(500)), may_have);
    for (std::size_t n = 0; n < fates.size() && !storm_.over; n++) {
        const attempt made = storm_.begin("publish", random_);
        const auto answer = primary_.try_command({"PUBLISH", channel, n}, made.options());
        if (storm_.end(made, answer))
            fates[n] = answer->integer() > 0 ? reached : nobody;
        else if (answer.error().outcome() != sentinel::outcome::unknown)
            fates[n] = never;
        listen(random_.one_in(4) ? 2ms : 0ms);
    }
    if (!listen_until(end, true))
        return;
    std::size_t next = 0;
    std::set<std::size_t> seen;
    bool gap = false, gaps = false;
    for (const std::string &word : heard) {
        gap = gap || word == "subscription_gap";
        gaps = gaps || gap;
        if (std::isdigit(static_cast<unsigned char>(word[0])) == 0 && word != end)
            continue;
        const std::size_t n = word == end ? fates.size() : std::stoul(word);
        const auto at = [&](std::size_t index) { return fates.begin() + static_cast<std::ptrdiff_t>(index); };
        if (n < fates.size() && fates[n] == never)
            storm_.broke(channel + ": message " + word + " was never published");
        const bool late = n < fates.size() && n + 1 < next && fates[n] == may_have;
        if (!seen.insert(n).second && !gaps)
            storm_.broke(channel + ": " + word + " came twice");
        if (late)
            continue;
        const bool missing = n > next && std::find(at(next), at(n), reached) != at(n);
        if ((missing && !gap) || (n < next && !gaps))
            storm_.broke(channel + ": " + word + " where " + std::to_string(next) + " is due, and no gap was told");
        next = n < fates.size() ? n + 1 : next;
        if (word == end)
            break;
        gap = false;
    }
}

/* Threads that are waited for in any case: a close may fail. */
struct joined {
    std::vector<std::thread> threads;
    ~joined() { join(); }
    void join() {
        for (std::thread &thread : threads)
            thread.join();
        threads.clear();
    }
};

/* A whole deployment, closed under its calls, a subscription, and what nobody waits for. */
void worker::doom() {
    const long unrest = storm_.unrest;
    try {
        const sentinel::deployment deployment = storm_.open();
        const sentinel::client client = deployment.primary_for(storm_.service);
        const sentinel::queue queue(deployment, 1024);
        const sentinel::subscription subscription(client, queue, 1);
        subscription.add("storm:doom");
        deployment.watch_events(SENTINEL_EVENT_CONNECTION, queue, 2);
        joined callers;
        for (int i = random_.below(10); i >= 0; i--)
            callers.threads.emplace_back([this, &client, seed = random_.seed()] {
                worker other(storm_, shared_, seed);
                while (other.echo_on(client, true) != sentinel::status::closed) {
                }
            });
        const auto left = client.try_async({"BLPOP", "storm:none", 0});
        const auto on = std::make_shared<mailbox>();
        std::optional<sentinel::canceller> stop;
        attempt made = storm_.begin("doomed coroutine", random_, true);
        made.limit = 0ms;
        const owned waits = awaiting(storm_, client, made, storm_.unique(), on, stop);
        random_.pause(60ms);
        const auto before = clock_type::now();
        deployment.close(random_.one_in(2) ? 0ms : 5000ms);
        callers.join();
        if (clock_type::now() - before > 10s)
            storm_.broke("a close, or a call on what was closed, took 10 s");
        while (!waits.done() && random_.below(3) != 0)
            if (!on->run_one(10s))
                storm_.broke("a coroutine of a closed deployment waits");
    } catch (const sentinel::error &error) {
        if (storm_.calm(unrest))
            storm_.broke(std::string("a deployment: ") + error.what());
    }
}

/* In a child: what it inherited is refused and let go, and what it opens itself works. Its exit status. */
inline int inherits(const storm &of, shared &with) {
    alarm(30);
    rlimit most{};
    getrlimit(RLIMIT_NOFILE, &most);
    most.rlim_cur = most.rlim_max; // a shortage is its parent's
    setrlimit(RLIMIT_NOFILE, &most);
    const auto refused = with.primary.try_command({"PING"});
    if (refused || refused.error().status() != sentinel::status::forked)
        return 1;
    try {
        const std::string want = "child " + std::to_string(getpid());
        const sentinel::deployment deployment = of.open();
        const sentinel::client client = deployment.primary_for(of.service);
        if (client.command({"ECHO", want}, {20000ms}).str() != want)
            return 2;
        deployment.close();
    } catch (const sentinel::error &error) {
        std::fprintf(stderr, "a child: %s\n", error.what());
        return 3;
    }
    with.~shared(); // the process ends without its owner
    return 0;
}

/*
 * Forks in the middle of everything. Not with AddressSanitizer, whose allocator is left locked in a child where another
 * thread held it.
 */
void worker::children() {
#if defined(__SANITIZE_ADDRESS__)
    random_.pause(300ms);
#else
    random_.pause(300ms);
    const long unrest = storm_.unrest;
    const pid_t child = fork();
    if (child == 0)
        _exit(inherits(storm_, const_cast<shared &>(shared_)));
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return storm_.broke("no child");
    storm_.children++;
    if (status != 0 && storm_.calm(unrest))
        storm_.broke("a child ended with " + std::to_string(status));
#endif
}

#endif
