/*
 * Calls that do not wait: queue and completion, and what the callbacks of client::submit run. Included by
 * <sentinel.hpp>.
 */
#ifndef SENTINEL_ASYNC_HPP
#define SENTINEL_ASYNC_HPP

#include <sentinel/command.hpp>

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
result<reply> taken(sentinel_completion_t &entry);

/* What client::async gives; in <sentinel/future.hpp>. */
template <class Answer> struct future_of {
    static_assert(sizeof(Answer) == 0,
                  "async() needs <sentinel/future.hpp>, and exceptions; without them there is try_async()");
    using type = void;
};

/* The id of a call whose completion `done` is told. */
result<std::uint64_t> submitted(sentinel_client_t *client, const arguments &args, const call_options &options,
                                sentinel_done_fn done, void *user_data);

/* Waits for one completion. Frees itself when it has come, or when there is none to come. */
template <class Done> class waiting {
public:
    /* Submits; a failure is returned, and `done` never called. */
    static result<std::uint64_t> submit(sentinel_client_t *client, const arguments &args, const call_options &options,
                                        Done done) {
        auto self = std::make_unique<waiting>(std::move(done));
        auto id = submitted(client, args, options, completed, self.get());
        if (id)
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
    queue(const deployment &of, std::size_t capacity) : queue(try_make(of, capacity).value()) {}
    static result<queue> try_make(const deployment &of, std::size_t capacity);

    /** Readable while completions wait. It belongs to the queue: never read, write or close it. */
    int fd() const noexcept { return sentinel_queue_fd(get()); }

    /**
     * Takes up to `max_entries` completions out; none when none came in time, or after wake().
     *
     * `timeout`: how long to wait for the first one; 0: not at all; no_limit.
     */
    std::vector<completion> poll(std::size_t max_entries, std::chrono::milliseconds timeout) const;
    result<std::vector<completion>> try_poll(std::size_t max_entries, std::chrono::milliseconds timeout) const;

    /** Makes one poll() that waits return. */
    void wake() const;
};

} // namespace sentinel

#if defined(SENTINEL_HPP_DEFINITIONS)
#include <sentinel/async_source.hpp>
#endif

#endif
