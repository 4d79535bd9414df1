/*
 * Calls that are awaited, in C++20: what client::co_command gives, where a coroutine goes on, and how its wait ends
 * early. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_COROUTINE_HPP
#define SENTINEL_COROUTINE_HPP

#include <sentinel/command.hpp>

#if defined(__cpp_impl_coroutine)

#include <coroutine>

namespace sentinel {

namespace detail {

/* Where a coroutine that waits, its callback and its canceller meet: it outlives them all. */
class meeting;

} // namespace detail

/**
 * What an executor is given to run: `()` resumes the coroutine, on the thread that calls it. Copies are the same one.
 *
 * Does nothing when the coroutine was resumed already, or was destroyed while it waited. Dropped without being called,
 * it leaves the coroutine suspended: who owns that destroys it.
 */
class resumption {
public:
    explicit resumption(std::shared_ptr<detail::meeting> of) noexcept : of_(std::move(of)) {}

    void operator()() const;
    /** The coroutine, for who resumes it by its handle; null when it was resumed or destroyed. Only once. */
    std::coroutine_handle<> release() const;

private:
    std::shared_ptr<detail::meeting> of_;
};

/** Ends the wait of one awaited command, from any thread, at any time. Copies are the same one; see canceller(). */
class canceller {
public:
    explicit canceller(std::shared_ptr<detail::meeting> of) noexcept : of_(std::move(of)) {}

    /**
     * The command completes with `cancelled`, unless it has completed already: its outcome says whether it may have
     * been executed. Before it is awaited: it will not be sent. Never waits; the coroutine goes on where it always
     * does. The client must be alive, unless the wait is over.
     */
    void cancel() const;
    /** The same: for std::stop_callback. */
    void operator()() const { cancel(); }

private:
    std::shared_ptr<detail::meeting> of_;
};

namespace detail {

/* Where a coroutine goes on. */
struct executor {
    virtual ~executor() = default;
    virtual void execute(resumption task) = 0;
};

template <class Executor> struct executor_of final : executor {
    explicit executor_of(Executor with) : with_(std::move(with)) {}
    void execute(resumption task) override {
        if constexpr (std::is_invocable_v<Executor &, resumption>)
            with_(std::move(task));
        else if (const std::coroutine_handle<> waiter = task.release())
            with_(waiter);
    }
    Executor with_;
};

/* What all awaited commands have. */
class awaiting {
public:
    awaiting(sentinel_client_t *client, const arguments &args, const call_options &options);
    awaiting(awaiting &&) noexcept = default;
    awaiting &operator=(awaiting &&) = delete;
    ~awaiting();

    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> waiter);

    /** What ends the wait from elsewhere; to be asked for before it is awaited. */
    sentinel::canceller canceller() const noexcept { return sentinel::canceller(shared_); }

protected:
    void resume_by(std::shared_ptr<executor> with) noexcept { executor_ = std::move(with); }
    result<reply> answer();

private:
    sentinel_client_t *client_;
    std::vector<std::string> args_;
    const char *refused_;
    call_options options_;
    std::shared_ptr<executor> executor_;
    std::shared_ptr<meeting> shared_;
};

} // namespace detail

/**
 * A command that is submitted when it is awaited: `reply = co_await client.co_command("GET", key);`.
 *
 * Throws like client::command; of client::co_try_command, the result<reply> holds the failure. Arguments are copied
 * when it is made, so it may be kept, moved, and then awaited, once; the client must live until then, and need not
 * after.
 *
 * Threads. The coroutine goes on on the thread `sentinel-cb`, where a blocking call is would_deadlock, and a long one
 * delays every other callback; or where resume_on() says. Where the submission is refused it goes on at once, on the
 * thread that it is on.
 *
 * A coroutine that is destroyed while it waits, also for its executor, is not resumed: its call is cancelled, and its
 * reply goes nowhere. The client must be alive then; and as with any coroutine, nobody may destroy it while it is being
 * resumed.
 */
template <class Answer> class [[nodiscard]] awaitable : public detail::awaiting {
public:
    using awaiting::awaiting;

    /**
     * The coroutine goes on by `executor`: `co_await client.co_command("GET", key).resume_on(pool)`.
     *
     * `executor` is called once, on the thread `sentinel-cb`, with a resumption to be run where it likes, now or later;
     * or, when it takes none, with a std::coroutine_handle<> that it must resume, and until then nobody may destroy. It
     * is moved or copied in, std::ref(executor) is not; it must not block, and must not throw, which ends the program.
     *
     * GCC 12 destroys the captures of a lambda twice that is written inside an expression that awaits: give it a name.
     */
    template <class Executor> awaitable resume_on(Executor &&executor) && {
        using kept = std::decay_t<Executor>;
        static_assert(std::is_invocable_v<kept &, resumption> || std::is_invocable_v<kept &, std::coroutine_handle<>>,
                      "an executor is called with a sentinel::resumption, or with a std::coroutine_handle<>");
        resume_by(std::make_shared<detail::executor_of<kept>>(std::forward<Executor>(executor)));
        return std::move(*this);
    }

    Answer await_resume() {
        if constexpr (std::is_same_v<Answer, reply>)
            return answer().value();
        else
            return answer();
    }
};

using awaitable_command = awaitable<reply>;
using awaitable_try_command = awaitable<result<reply>>;

} // namespace sentinel

#if defined(SENTINEL_HPP_DEFINITIONS)
#include <sentinel/coroutine_source.hpp>
#endif

#endif

#endif
