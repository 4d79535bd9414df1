/*
 * Who is talked to: nodes, connection, client. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_CLIENT_HPP
#define SENTINEL_CLIENT_HPP

#include <sentinel/async.hpp>
#include <sentinel/coroutine.hpp>

namespace sentinel {

/** The part of a node, as `SENTINEL_ROLE_*`. */
enum class role : std::int32_t {
    primary = SENTINEL_ROLE_PRIMARY,
    replica = SENTINEL_ROLE_REPLICA,
    sentinel = SENTINEL_ROLE_SENTINEL,
};

/** A node of a list; borrowed from it. */
class SENTINEL_HPP_VIEW node {
public:
    node(const sentinel_nodes_t *list, std::size_t index) noexcept : list_(list), index_(index) {}

    /** Host and port, after `address.map`. */
    std::string_view host() const noexcept;
    std::uint16_t port() const noexcept { return sentinel_nodes_port(list_, index_); }
    sentinel::role role() const noexcept { return static_cast<sentinel::role>(sentinel_nodes_role(list_, index_)); }
    /** A copy of `host:port`. */
    std::string endpoint() const;
    /** A field as Sentinel reported it, such as `flags` or `config-epoch`; nothing where there is none. */
    std::optional<std::string_view> field(std::string_view name) const;

private:
    const sentinel_nodes_t *list_;
    std::size_t index_;
};

/**
 * A list of nodes as they were at one moment: owns them.
 *
 * A node that would outlive it does not compile, `discover_primary()[0]`: keep the list in a variable, or walk it.
 */
class nodes : public detail::handle<sentinel_nodes_t, sentinel_nodes_free> {
    struct list {
        const sentinel_nodes_t *of = nullptr;
        node operator[](std::size_t index) const noexcept { return {of, index}; }
    };

public:
    using handle::handle;
    using iterator = detail::indexed<list, node>;
    using const_iterator = iterator;

    std::size_t size() const noexcept { return sentinel_nodes_len(get()); }
    bool empty() const noexcept { return size() == 0; }
    /** A node; beyond the last, one without host and port. */
    node operator[](std::size_t index) const & noexcept SENTINEL_HPP_BORROWED { return {get(), index}; }
    iterator begin() const & noexcept SENTINEL_HPP_BORROWED { return {list{get()}, 0}; }
    iterator end() const & noexcept SENTINEL_HPP_BORROWED { return {list{get()}, size()}; }
    node operator[](std::size_t index) const && = delete;
    iterator begin() const && = delete;
    iterator end() const && = delete;
};

/** A connection of one's own, for `WATCH` and all else with state; destroyed, it goes back. One thread at a time. */
class connection : public detail::handle<sentinel_connection_t, sentinel_connection_release> {
public:
    using handle::handle;

    /** Runs one command; never repeated. After connection_lost, timeout or protocol_error it is of no more use. */
    reply command(const arguments &args, const call_options &options = {});
    result<reply> try_command(const arguments &args, const call_options &options = {});

    /**
     * Ends the call that another thread has under way on it with cancelled, and every later one: it is of no more use. For
     * commands that wait in the server, such as `BLPOP`. Any thread, while the connection is there.
     */
    void cancel() noexcept;
};

/** A client of the primary or the replicas of a service, through every failover. Any thread, any time. */
class client : public detail::handle<sentinel_client_t, sentinel_client_free> {
public:
    using handle::handle;

    /** Makes a first verified connection, for programs that want to fail at their start. */
    void connect(std::chrono::milliseconds timeout = {}) const;
    result<void> try_connect(std::chrono::milliseconds timeout = {}) const;

    /** The node that serves this client now: one, or none while there is no connection. Does no I/O. */
    nodes node() const;
    result<nodes> try_node() const;

    /** Runs one command and waits for its reply: `command({"SET", key, 1}, {std::chrono::seconds(2)})`. */
    reply command(const arguments &args, const call_options &options = {}) const;
    result<reply> try_command(const arguments &args, const call_options &options = {}) const;

    /** Runs a batch; the reply has one element a command, which is an error where the server refused it. */
    reply run(const batch &commands, const call_options &options = {}) const;
    result<reply> try_run(const batch &commands, const call_options &options = {}) const;

    /**
     * Runs a script with its `KEYS` and `ARGV`: `run(script, {"stock:7"}, {1})`.
     *
     * One that fails may have written before: its outcome is unknown, unless the failure promises otherwise.
     */
    reply run(const script &script, const arguments &keys = {}, const arguments &args = {},
              const call_options &options = {}) const;
    result<reply> try_run(const script &script, const arguments &keys = {}, const arguments &args = {},
                          const call_options &options = {}) const;

    /** Takes a verified connection out of the pool, or makes one; limit_error when none became free in time. */
    connection acquire(std::chrono::milliseconds timeout = {}) const;
    result<connection> try_acquire(std::chrono::milliseconds timeout = {}) const;

    /**
     * A stream socket that speaks RESP as a server of the client's role does and follows every failover: for libraries that
     * bring a client of their own. The caller owns the descriptor.
     */
    int socket() const;
    result<int> try_socket() const;

    /** Serves a connected stream socket in the same way, and takes it over, also on failure. */
    void serve(int fd) const;
    result<void> try_serve(int fd) const;

    /** Submits a command; its completion appears in `to` with `tag`. The id is for cancel(). */
    std::uint64_t submit(const queue &to, const arguments &args, std::uint64_t tag,
                         const call_options &options = {}) const;
    result<std::uint64_t> try_submit(const queue &to, const arguments &args, std::uint64_t tag,
                                     const call_options &options = {}) const;

    /** Submits a batch, copied; its completion appears in `to` with `tag`, its reply is that of run(). */
    std::uint64_t submit(const queue &to, const batch &commands, std::uint64_t tag,
                         const call_options &options = {}) const;
    result<std::uint64_t> try_submit(const queue &to, const batch &commands, std::uint64_t tag,
                                     const call_options &options = {}) const;

    /**
     * Submits a command; `done` is called once, with a result<reply>, on the thread `sentinel-cb`.
     *
     * The id is for cancel().
     * `done` must not throw, which would end the program, nor call what blocks, which is would_deadlock. A submission
     * that fails throws here, and `done` is not called.
     */
    template <class Done, std::enable_if_t<std::is_invocable_v<Done &, result<reply>>, int> = 0>
    std::uint64_t submit(const arguments &args, Done done, const call_options &options = {}) const {
        return try_submit(args, std::move(done), options).value();
    }
    template <class Done, std::enable_if_t<std::is_invocable_v<Done &, result<reply>>, int> = 0>
    result<std::uint64_t> try_submit(const arguments &args, Done done, const call_options &options = {}) const {
        return detail::waiting<Done>::submit(get(), args, options, std::move(done));
    }

    /** Submits a command; the std::future gets its reply, or the exception that command() would throw. */
    template <class Answer = reply>
    typename detail::future_of<Answer>::type async(const arguments &args, const call_options &options = {}) const {
        return detail::future_of<Answer>::submit(get(), args, options);
    }
    /** The same with a std::future of a result<reply>. */
    template <class Answer = result<reply>>
    typename detail::future_of<Answer>::type try_async(const arguments &args, const call_options &options = {}) const {
        return detail::future_of<Answer>::submit(get(), args, options);
    }

#if defined(__cpp_impl_coroutine)
    /** A command to be awaited. */
    awaitable_command co_command(const arguments &args, const call_options &options = {}) const {
        return awaitable_command(get(), args, options);
    }
    awaitable_try_command co_try_command(const arguments &args, const call_options &options = {}) const {
        return awaitable_try_command(get(), args, options);
    }
    /** The same without braces, which GCC 12 refuses in an expression that awaits: `co_command("SET", key, 1)`. */
    template <class Name, class... Rest, std::enable_if_t<detail::is_text<Name>, int> = 0>
    awaitable_command co_command(const Name &name, const Rest &...rest) const {
        return co_command(arguments{name, rest...});
    }
    template <class Name, class... Rest, std::enable_if_t<detail::is_text<Name>, int> = 0>
    awaitable_try_command co_try_command(const Name &name, const Rest &...rest) const {
        return co_try_command(arguments{name, rest...});
    }
#endif

    /** Ends a submitted call with cancelled, unless it has completed already. */
    void cancel(std::uint64_t call_id) const;
    result<void> try_cancel(std::uint64_t call_id) const;
};

} // namespace sentinel

#if defined(SENTINEL_HPP_DEFINITIONS)
#include <sentinel/client_source.hpp>
#include <sentinel/future.hpp>
#endif

#endif
