/*
 * A completion queue on Asio, for C++17: the standalone one, or Boost's with SENTINEL_BOOST_ASIO defined, or where
 * there is no other.
 *
 *     asio::io_context context;
 *     sentinel::queue queue(deployment, 1024);
 *     sentinel::asio_adapter adapter(context, queue, [](sentinel::completion done) { ... });
 *     primary.submit(queue, {"GET", "key"}, 1);
 *     context.run();
 *
 * Ownership. The adapter borrows the queue: it is to be detached, or destroyed, before the queue is. A context that
 * is gone before its adapters is no harm. The callable is moved or copied in; detaching destroys it, or its return
 * where it is running, and destroys what on_end was given.
 *
 * The callable is called for each completion: calls, messages of subscriptions, events of watch_events. It may
 * detach, move or destroy the adapter, and then the queue. After that it is not called again; what has not been
 * handed over stays in the queue, to be polled or attached again. When it throws, the exception leaves context.run()
 * as from any handler, and the adapter goes on.
 *
 * Turns. Between two handlers of others at most SENTINEL_ADAPTER_TURN completions are handed over, one after the
 * other. As long as a queue is attached, context.run() does not return for want of work.
 *
 * Threads. One thread at a time uses an adapter, the callable included. Where several run the context, give it a
 * strand, and detach on that. Submitting is for any thread. A queue may be attached more than once: each completion
 * reaches one.
 *
 * After fork(), call context.notify_fork() before anything else is done with the adapters on it.
 */
#ifndef SENTINEL_ADAPTERS_ASIO_HPP
#define SENTINEL_ADAPTERS_ASIO_HPP

#include <sentinel.hpp>
#include <sentinel/adapters/adapter.h>

#if !defined(SENTINEL_BOOST_ASIO) && !__has_include(<asio/any_io_executor.hpp>)
#define SENTINEL_BOOST_ASIO
#endif

#if defined(SENTINEL_BOOST_ASIO)
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#else
#include <asio/any_io_executor.hpp>
#include <asio/execution_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#endif

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace sentinel {

/* A program may have both: their types have names of their own. */
#if defined(SENTINEL_BOOST_ASIO)
inline namespace on_boost_asio {
namespace asio_detail {
namespace net = ::boost::asio;
using error_code = ::boost::system::error_code;
using system_error = ::boost::system::system_error;
#else
inline namespace on_asio {
namespace asio_detail {
namespace net = ::asio;
using error_code = ::asio::error_code;
using system_error = ::asio::system_error;
#endif

/*
 * A queue that is attached. The handler that waits for it owns it, and in a turn, the turn: so it ends with its
 * context, in time, where that ends first.
 */
class attachment {
public:
    explicit attachment(sentinel_queue_t *queue) : queue_(queue) {}
    attachment(const attachment &) = delete;
    attachment &operator=(const attachment &) = delete;
    virtual ~attachment() = default;

    /* A copy of the queue's descriptor: Asio closes what it has, and has no number twice. */
    result<void> open(const net::any_io_executor &executor) {
        if (queue_ == nullptr)
            return failure(status::null_argument, "queue must not be NULL");
        if (const sentinel_status_t probed = sentinel_adapter_probe(queue_); probed != SENTINEL_OK)
            return failure(probed);
        const int fd = sentinel_queue_fd(queue_);
        const int copy = fd < 0 ? -1 : sentinel_adapter_copy_of(fd);
        if (copy < 0)
            return failure(status::internal, "no descriptor left for the queue");
        error_code refused;
#if defined(SENTINEL_HPP_EXCEPTIONS)
        try {
            descriptor_.emplace(executor); // a context's first one makes its reactor, which takes descriptors
        } catch (const system_error &thrown) {
            refused = thrown.code();
        }
        if (!refused)
            descriptor_->assign(copy, refused);
#else
        descriptor_.emplace(executor).assign(copy, refused);
#endif
        if (refused) {
            ::close(copy);
            return failure(status::internal, "the context refuses the queue: " + refused.message());
        }
        return {};
    }

    void detach() {
        detached_ = true;
        error_code ignored;
        descriptor_->close(ignored);
        std::exchange(end, nullptr);
        if (!turning_)
            drop();
    }

    std::function<void(status)> end;

    /* Whoever calls it owns it too: on another thread the handler may have run before this returns. */
    static void wait(const std::shared_ptr<attachment> &self) {
        self->descriptor_->async_wait(net::posix::descriptor_base::wait_read, [self](const error_code &failed) {
            if (!self->detached_)
                turn(self, failed);
        });
    }

protected:
    virtual void call(completion &&done) = 0;
    /* The callable is called no more. */
    virtual void drop() = 0;

private:
    /* A turn ends in waiting again, also when the callable has thrown. */
    class rearm {
    public:
        explicit rearm(const std::shared_ptr<attachment> &of) : of_(of) { of_->turning_ = true; }
        rearm(const rearm &) = delete;
        rearm &operator=(const rearm &) = delete;
        ~rearm() {
            of_->turning_ = false;
            if (of_->detached_)
                of_->drop();
            else
                wait(of_);
        }

    private:
        const std::shared_ptr<attachment> &of_;
    };

    /* One completion at a time: what has not been handed over when the callable detaches is still in the queue. */
    static void turn(const std::shared_ptr<attachment> &self, const error_code &failed) {
        const rearm again(self);
        if (failed)
            return self->over(SENTINEL_ERR_INTERNAL);
        const int fd = self->descriptor_->native_handle();
        for (int left = SENTINEL_ADAPTER_TURN; !self->detached_ && sentinel_adapter_goes_on(fd, left); left--) {
            sentinel_completion_t entry;
            const sentinel_status_t polled = sentinel_queue_poll(self->queue_, &entry, sizeof entry, 1, 0, nullptr);
            if (polled < 0)
                return self->over(polled);
            if (polled != SENTINEL_OK)
                return; // another thread was faster
            self->call({entry.tag, static_cast<completion_kind>(entry.kind), detail::taken(entry)});
        }
    }

    /* Nothing more can come. */
    void over(sentinel_status_t why) {
        const auto told = std::exchange(end, nullptr);
        detach();
        if (told)
            told(static_cast<status>(why));
    }

    std::optional<net::posix::stream_descriptor> descriptor_;
    sentinel_queue_t *queue_;
    bool turning_ = false;
    bool detached_ = false;
};

template <class Done> class attachment_of final : public attachment {
public:
    template <class Given>
    attachment_of(sentinel_queue_t *queue, Given &&done) : attachment(queue), done_(std::forward<Given>(done)) {}

private:
    void call(completion &&done) override { (*done_)(std::move(done)); }
    void drop() override { done_.reset(); }

    std::optional<Done> done_;
};

} // namespace asio_detail

/** A queue on a context. One thread at a time. */
class asio_adapter {
public:
    /** Attached to nothing. */
    asio_adapter() noexcept = default;

    /**
     * Calls `done` for each completion in `of`, on `executor`: that of a context, or a strand.
     *
     * null_argument for a queue that was moved from; forked or closed as queue::poll; internal when there is no
     * descriptor left, or the context refuses.
     */
    template <class Done> asio_adapter(const asio_detail::net::any_io_executor &executor, const queue &of, Done &&done)
        : asio_adapter(try_attach(executor, of, std::forward<Done>(done)).value()) {}
    template <class Context, class Done,
              std::enable_if_t<std::is_convertible_v<Context &, asio_detail::net::execution_context &>, int> = 0>
    asio_adapter(Context &context, const queue &of, Done &&done)
        : asio_adapter(context.get_executor(), of, std::forward<Done>(done)) {}
    /** It would be freed at once. */
    template <class Where, class Done> asio_adapter(Where &&, queue &&, Done &&) = delete;

    /** The same; a failure is returned. */
    template <class Done>
    static result<asio_adapter> try_attach(const asio_detail::net::any_io_executor &executor, const queue &of,
                                           Done &&done) {
        using kept = std::decay_t<Done>;
        static_assert(std::is_invocable_v<kept &, completion>, "a queue is attached to what takes a completion");
        auto made = std::make_shared<asio_detail::attachment_of<kept>>(of.get(), std::forward<Done>(done));
        if (const auto opened = made->open(executor); !opened)
            return opened.error();
        asio_adapter attached(made);
        asio_detail::attachment::wait(made);
        return attached;
    }
    template <class Where, class Done> static result<asio_adapter> try_attach(Where &&, queue &&, Done &&) = delete;

    asio_adapter(asio_adapter &&other) noexcept : of_(std::move(other.of_)) {}
    asio_adapter &operator=(asio_adapter &&other) noexcept {
        if (this != &other) {
            detach();
            of_ = std::move(other.of_);
        }
        return *this;
    }
    ~asio_adapter() { detach(); }

    /** Takes the queue off the context. More than once is no harm. */
    void detach() noexcept {
        if (const auto of = of_.lock())
            of->detach();
        of_.reset();
    }

    /**
     * `end` is called once when the queue cannot be polled any more, with the status: forked in a forked child, panic,
     * closed, of several adapters on one queue perhaps on one alone. Empty: nobody is told.
     */
    void on_end(std::function<void(status)> end) {
        if (const auto of = of_.lock())
            of->end = std::move(end);
    }

private:
    explicit asio_adapter(const std::shared_ptr<asio_detail::attachment> &of) noexcept : of_(of) {}

    std::weak_ptr<asio_detail::attachment> of_;
};

} // namespace on_asio or on_boost_asio

} // namespace sentinel

#endif
