/*
 * Calls that do not wait: queue and completion, and what the callbacks of client::submit, client::async and
 * client::co_command run. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_ASYNC_HPP
#define SENTINEL_ASYNC_HPP

#include <sentinel/command.hpp>

#include <functional>
#include <future>
#include <mutex>

#if defined(__cpp_impl_coroutine)
#include <coroutine>
#endif

namespace sentinel {

class deployment;

/** What a completion tells of, as `SENTINEL_COMPLETION_*`. */
enum class completion_kind : std::int32_t {
    call = SENTINEL_COMPLETION_CALL,
    message = SENTINEL_COMPLETION_MESSAGE,
    event = SENTINEL_COMPLETION_EVENT,
};

/** The end of a call that was submitted, a message of a subscription, or an event. */
struct completion {
    /** As given with the submission, subscription or watch. */
    std::uint64_t tag;
    completion_kind kind;
    /** The reply, message or event, or the failure of the call. */
    result<reply> answer;
};

namespace detail {

/* Takes over what the entry owns. */
inline result<reply> taken(sentinel_completion_t &entry) {
    if (entry.status >= 0)
        return reply(std::exchange(entry.reply, nullptr));
    return failure(entry.status, std::exchange(entry.error, nullptr));
}

/* Waits for one completion. Frees itself when it has come, or when there is none to come. */
template <class Done> class waiting {
public:
    /* Submits; a failure is returned, and `done` never called. */
    static result<std::uint64_t> submit(sentinel_client_t *client, const arguments &args, const call_options &options,
                                        Done done) {
        const sentinel_call_t call = options.raw();
        std::uint64_t id = 0;
        sentinel_error_t *error = nullptr;
        auto self = std::make_unique<waiting>(std::move(done));
        const sentinel_status_t status = sentinel_submit(client, args.size(), args.data(), args.lens(), &call,
                                                         completed, self.get(), &id, &error);
        if (status < 0)
            return failure(status, error);
        static_cast<void>(self.release()); // completed() has it, and may have freed it already
        return id;
    }

    explicit waiting(Done done) : done_(std::move(done)) {}

private:
    /* An exception has nowhere to go on this thread: it ends the program. */
    static void completed(void *user_data, sentinel_completion_t *entry) noexcept {
        const std::unique_ptr<waiting> self(static_cast<waiting *>(user_data));
        self->done_(taken(*entry));
    }

    Done done_;
};

} // namespace detail

/**
 * A bounded queue of completions with a file descriptor for epoll, libuv or any other loop. Any thread, any time.
 *
 * Freed with its queue, what waits in it is freed too; calls submitted to it end, and their completions go nowhere.
 */
class queue : public detail::handle<sentinel_queue_t, sentinel_queue_free> {
public:
    using handle::handle;

    /** A queue for up to `capacity` completions. */
    queue(const deployment &of, std::size_t capacity);

    /** Readable while completions wait. It belongs to the queue: never read, write or close it. */
    int fd() const noexcept { return sentinel_queue_fd(get()); }

    /**
     * Takes up to `max_entries` completions out; none when none came in time, or after wake().
     *
     * `timeout`: how long to wait for the first one; 0: not at all; no_limit.
     */
    std::vector<completion> poll(std::size_t max_entries, std::chrono::milliseconds timeout) const {
        std::vector<completion> taken;
        std::vector<sentinel_completion_t> entries(max_entries);
        taken.reserve(max_entries); // before anything is owned that an exception would lose
        std::size_t count = 0;
        detail::checked(sentinel_queue_poll(get(), entries.data(), sizeof(sentinel_completion_t), entries.size(),
                                            timeout.count(), &count))
            .value();
        for (std::size_t i = 0; i < count; i++)
            taken.push_back({entries[i].tag, static_cast<completion_kind>(entries[i].kind), detail::taken(entries[i])});
        return taken;
    }

    /** Makes one poll() that waits return. */
    void wake() const { detail::checked(sentinel_queue_wake(get())).value(); }
};

#if defined(__cpp_impl_coroutine)

/**
 * A command that is submitted when it is awaited: `reply = co_await client.co_command("GET", key);`.
 *
 * The coroutine goes on on the thread `sentinel-cb`, or at once where the submission is refused: a blocking call there
 * is would_deadlock, and a long one delays every other callback. Throws like client::command. Arguments are copied when
 * it is made, so it may be kept and then awaited, once; the client must live until then, and need not after.
 *
 * A coroutine that is destroyed while it waits is not resumed: its call is cancelled, and its reply goes nowhere. The client
 * must be alive then; and as with any coroutine, nobody may destroy it while it is being resumed.
 */
class awaitable_command {
public:
    awaitable_command(sentinel_client_t *client, const arguments &args, const call_options &options)
        : client_(client), options_(options) {
        args_.reserve(args.size());
        for (std::size_t i = 0; i < args.size(); i++)
            args_.emplace_back(args[i]);
    }
    awaitable_command(const awaitable_command &) = delete;
    awaitable_command &operator=(const awaitable_command &) = delete;
    ~awaitable_command() {
        if (const std::optional<std::uint64_t> id = shared_->leave())
            sentinel_cancel(client_, *id);
    }

    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> waiter) {
        // Once it is accepted, another thread may have resumed the coroutine and destroyed *this: only what is on this stack
        // is looked at then.
        const std::shared_ptr<meeting> shared = shared_;
        shared->waiter = waiter;
        const auto submitted = detail::waiting<resumption>::submit(client_, args_, options_, resumption{shared});
        if (submitted)
            shared->submitted(submitted.value());
        else
            shared->answer.emplace(submitted.error());
        return submitted.ok();
    }
    reply await_resume() { return std::move(*shared_->answer).value(); }

private:
    /* Where the coroutine and the callback meet: it outlives both. */
    struct meeting {
        std::mutex mutex;
        std::coroutine_handle<> waiter;
        std::optional<std::uint64_t> id;
        std::optional<result<reply>> answer;
        bool left = false;

        void submitted(std::uint64_t call) {
            const std::lock_guard<std::mutex> lock(mutex);
            id = call;
        }
        /* The coroutine is no more. The call that it still waits for, if any. */
        std::optional<std::uint64_t> leave() {
            const std::lock_guard<std::mutex> lock(mutex);
            left = true;
            return answer ? std::nullopt : id;
        }
        /* Whom to resume, if it is there yet. */
        std::coroutine_handle<> arrive(result<reply> arrived) {
            const std::lock_guard<std::mutex> lock(mutex);
            if (left)
                return nullptr;
            answer.emplace(std::move(arrived));
            return waiter;
        }
    };

    struct resumption {
        std::shared_ptr<meeting> shared;
        void operator()(result<reply> answer) const {
            if (const std::coroutine_handle<> waiter = shared->arrive(std::move(answer)))
                waiter.resume();
        }
    };

    sentinel_client_t *client_;
    std::vector<std::string> args_;
    call_options options_;
    std::shared_ptr<meeting> shared_ = std::make_shared<meeting>();
};

#endif

} // namespace sentinel

#endif
