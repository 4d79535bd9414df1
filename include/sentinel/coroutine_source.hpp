/*
 * The definitions of <sentinel/coroutine.hpp>, which includes it.
 */
#ifndef SENTINEL_COROUTINE_SOURCE_HPP
#define SENTINEL_COROUTINE_SOURCE_HPP

#include <sentinel/async.hpp>
#include <sentinel/coroutine.hpp>

#if defined(__cpp_impl_coroutine)

#include <mutex>

namespace sentinel {

namespace detail {

class meeting {
public:
    /* Submits, unless it was cancelled before; false: the answer is there already, and the coroutine goes on. */
    static bool begin(const std::shared_ptr<meeting> &self, sentinel_client_t *client, const arguments &args,
                      const call_options &options, std::shared_ptr<executor> with, std::coroutine_handle<> waiter) {
        // Locked until the id is known: who cancels finds it, and who answers waits for a moment.
        const std::lock_guard<std::mutex> lock(self->mutex_);
        if (self->cancelled_) {
            self->answer_.emplace(failure(status::cancelled, "cancelled before it was sent", outcome::not_sent));
            return false;
        }
        self->answer_.reset();
        self->client_ = client;
        self->executor_ = std::move(with);
        self->waiter_ = waiter;
        auto id = waiting<arrival>::submit(client, args, options, arrival{self});
        if (!id) {
            self->answer_.emplace(std::move(id).error());
            return false;
        }
        self->id_ = *id;
        return true;
    }

    /* The answer of what cannot be sent. */
    void refuse(const char *why) {
        const std::lock_guard<std::mutex> lock(mutex_);
        answer_.emplace(not_sent(why));
    }

    /* The coroutine is no more: nobody is resumed, and nothing waited for. */
    void leave() {
        std::shared_ptr<executor> gone; // with this thread, not with the reply's
        const std::lock_guard<std::mutex> lock(mutex_);
        gone = std::move(executor_);
        left_ = true;
        stop();
    }

    void cancel() {
        const std::lock_guard<std::mutex> lock(mutex_);
        cancelled_ = true;
        if (!left_)
            stop();
    }

    /* Whom to resume: once, and nobody when it has left. */
    std::coroutine_handle<> take_waiter() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return left_ ? nullptr : std::exchange(waiter_, nullptr);
    }

    result<reply> answer() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return std::move(*answer_);
    }

private:
    struct arrival {
        std::shared_ptr<meeting> at;
        void operator()(result<reply> answer) const {
            std::shared_ptr<executor> with;
            {
                const std::lock_guard<std::mutex> lock(at->mutex_);
                if (at->left_)
                    return;
                at->answer_.emplace(std::move(answer));
                with = std::move(at->executor_);
            }
            if (with)
                with->execute(resumption(at));
            else
                resumption{at}();
        }
    };

    void stop() {
        if (id_ && !answer_)
            sentinel_cancel(client_, *id_);
    }

    std::mutex mutex_;
    sentinel_client_t *client_ = nullptr;
    std::shared_ptr<executor> executor_;
    std::coroutine_handle<> waiter_;
    std::optional<std::uint64_t> id_;
    std::optional<result<reply>> answer_;
    bool left_ = false;
    bool cancelled_ = false;
};

SENTINEL_HPP_INLINE awaiting::awaiting(sentinel_client_t *client, const arguments &args, const call_options &options)
    : client_(client), refused_(args.refused()), options_(options), shared_(std::make_shared<meeting>()) {
    args_.reserve(args.size());
    for (std::size_t i = 0; i < args.size(); i++)
        args_.emplace_back(args[i]);
}

SENTINEL_HPP_INLINE awaiting::~awaiting() {
    if (shared_)
        shared_->leave();
}

SENTINEL_HPP_INLINE bool awaiting::await_suspend(std::coroutine_handle<> waiter) {
    // Once it is accepted, another thread may have resumed the coroutine and destroyed *this: only what is on this
    // stack is looked at then.
    if (!shared_) { // moved from
        shared_ = std::make_shared<meeting>();
        refused_ = "a command that was moved away is awaited";
    }
    const std::shared_ptr<meeting> shared = shared_;
    if (refused_ != nullptr)
        return shared->refuse(refused_), false;
    return meeting::begin(shared, client_, args_, options_, std::move(executor_), waiter);
}

SENTINEL_HPP_INLINE result<reply> awaiting::answer() { return shared_->answer(); }

} // namespace detail

SENTINEL_HPP_INLINE void resumption::operator()() const {
    if (const std::coroutine_handle<> waiter = release())
        waiter.resume();
}

SENTINEL_HPP_INLINE std::coroutine_handle<> resumption::release() const {
    return of_ ? of_->take_waiter() : std::coroutine_handle<>();
}

SENTINEL_HPP_INLINE void canceller::cancel() const {
    if (of_)
        of_->cancel();
}

} // namespace sentinel

#endif

#endif
