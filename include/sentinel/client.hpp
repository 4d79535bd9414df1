/*
 * Who is talked to: options, nodes, connection, client, deployment, subscription. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_CLIENT_HPP
#define SENTINEL_CLIENT_HPP

#include <sentinel/async.hpp>

namespace sentinel {

class client;

/** What a deployment or a client is made of; the keys are those of docs/options.md. One thread at a time. */
class options : public detail::handle<sentinel_options_t, sentinel_options_free> {
public:
    /** The default of every key, and no Sentinel. */
    options() : handle(sentinel_options_new()) {}

    /** Adds a Sentinel to ask: a host name or address, and its port. */
    options &add_sentinel(std::string_view host, std::uint16_t port = 26379) & {
        const std::string text = detail::terminated(host);
        return with([&](auto **error) { return sentinel_options_add_sentinel(get(), text.c_str(), port, error); });
    }
    options add_sentinel(std::string_view host, std::uint16_t port = 26379) && {
        return std::move(add_sentinel(host, port));
    }

    /** Sets everything that a URL says: `redis+sentinel://[user[:password]@]host[:port][,...]/service[/database]`. */
    options &url(std::string_view from) & {
        const std::string text = detail::terminated(from);
        return with([&](auto **error) { return sentinel_options_parse_url(get(), text.c_str(), error); });
    }
    options url(std::string_view from) && { return std::move(url(from)); }

    /** Sets an option by text. */
    options &set(std::string_view key, std::string_view value) & {
        const std::string name = detail::terminated(key), text = detail::terminated(value);
        return with([&](auto **error) { return sentinel_options_set(get(), name.c_str(), text.c_str(), error); });
    }
    options set(std::string_view key, std::string_view value) && { return std::move(set(key, value)); }

    /** Sets an option that is a number: a count, bytes, milliseconds or a flag. */
    options &set(std::string_view key, std::int64_t value) & {
        const std::string name = detail::terminated(key);
        return with([&](auto **error) { return sentinel_options_set_int(get(), name.c_str(), value, error); });
    }
    options set(std::string_view key, std::int64_t value) && { return std::move(set(key, value)); }

    /** Sets an option that is a time; its name ends with `_ms`. */
    options &set(std::string_view key, std::chrono::milliseconds value) & {
        return set(key, static_cast<std::int64_t>(value.count()));
    }
    options set(std::string_view key, std::chrono::milliseconds value) && { return std::move(set(key, value)); }

    /** Sets a password (or a user name) from any bytes; none of them: no password. Wiping `secret` is the caller's. */
    options &set_secret(std::string_view key, std::string_view secret) & {
        const std::string name = detail::terminated(key);
        return with([&](auto **error) {
            return sentinel_options_set_secret(get(), name.c_str(), secret.data(), secret.size(), error);
        });
    }
    options set_secret(std::string_view key, std::string_view secret) && { return std::move(set_secret(key, secret)); }

    /** The log up to `max_level` (`SENTINEL_LOG_*`) goes to a function; see sentinel_options_set_log for its duties. */
    options &log(std::int32_t max_level, sentinel_log_fn to, void *user_data) & {
        detail::checked(sentinel_options_set_log(get(), max_level, to, user_data)).value();
        return *this;
    }
    options log(std::int32_t max_level, sentinel_log_fn to, void *user_data) && {
        return std::move(log(max_level, to, user_data));
    }

private:
    template <class Call> options &with(Call call) {
        detail::done(call).value();
        return *this;
    }
};

/** The part of a node, as `SENTINEL_ROLE_*`. */
enum class role : std::int32_t {
    primary = SENTINEL_ROLE_PRIMARY,
    replica = SENTINEL_ROLE_REPLICA,
    sentinel = SENTINEL_ROLE_SENTINEL,
};

/** A node of a list; borrowed from it. */
class node {
public:
    node(const sentinel_nodes_t *list, std::size_t index) noexcept : list_(list), index_(index) {}

    /** Host and port, after `address.map`. */
    std::string_view host() const noexcept { return text(sentinel_nodes_host(list_, index_)).value_or(""); }
    std::uint16_t port() const noexcept { return sentinel_nodes_port(list_, index_); }
    sentinel::role role() const noexcept { return static_cast<sentinel::role>(sentinel_nodes_role(list_, index_)); }
    /** A copy of `host:port`. */
    std::string endpoint() const { return std::string(host()) + ':' + std::to_string(port()); }
    /** A field as Sentinel reported it, such as `flags` or `config-epoch`. */
    std::optional<std::string_view> field(std::string_view name) const {
        return text(sentinel_nodes_field(list_, index_, detail::terminated(name).c_str()));
    }

private:
    static std::optional<std::string_view> text(const char *text) noexcept {
        return text != nullptr ? std::optional<std::string_view>(text) : std::nullopt;
    }

    const sentinel_nodes_t *list_;
    std::size_t index_;
};

/** A list of nodes as they were at one moment. */
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
    node operator[](std::size_t index) const noexcept { return {get(), index}; }
    iterator begin() const noexcept { return {list{get()}, 0}; }
    iterator end() const noexcept { return {list{get()}, size()}; }
};

/** A connection of one's own, for `WATCH` and all else with state; destroyed, it goes back. One thread at a time. */
class connection : public detail::handle<sentinel_connection_t, sentinel_connection_release> {
public:
    using handle::handle;

    /** Runs one command; never repeated. After connection_lost, timeout or protocol_error it is of no more use. */
    reply command(const arguments &args, const call_options &options = {}) {
        return try_command(args, options).value();
    }
    result<reply> try_command(const arguments &args, const call_options &options = {}) {
        const sentinel_call_t call = options.raw();
        return detail::made<reply>([&](auto **out, auto **error) {
            return sentinel_connection_command(get(), args.size(), args.data(), args.lens(), &call, out, error);
        });
    }
};

/** A client of the primary or the replicas of a service, through every failover. Any thread, any time. */
class client : public detail::handle<sentinel_client_t, sentinel_client_free> {
public:
    using handle::handle;

    /** Makes a first verified connection, for programs that want to fail at their start. */
    void connect(std::chrono::milliseconds timeout = {}) const { try_connect(timeout).value(); }
    result<void> try_connect(std::chrono::milliseconds timeout = {}) const {
        return detail::done([&](auto **error) { return sentinel_client_connect(get(), timeout.count(), error); });
    }

    /** The node that serves this client now: one, or none while there is no connection. Does no I/O. */
    nodes node() const {
        return detail::made<nodes>([&](auto **out, auto **) { return sentinel_client_node(get(), out); }).value();
    }

    /** Runs one command and waits for its reply: `command({"SET", key, 1}, {std::chrono::seconds(2)})`. */
    reply command(const arguments &args, const call_options &options = {}) const {
        return try_command(args, options).value();
    }
    result<reply> try_command(const arguments &args, const call_options &options = {}) const {
        const sentinel_call_t call = options.raw();
        return detail::made<reply>([&](auto **out, auto **error) {
            return sentinel_command(get(), args.size(), args.data(), args.lens(), &call, out, error);
        });
    }

    /** Runs a batch; the reply has one element a command, which is an error where the server refused it. */
    reply run(const batch &commands, const call_options &options = {}) const {
        return try_run(commands, options).value();
    }
    result<reply> try_run(const batch &commands, const call_options &options = {}) const {
        const sentinel_call_t call = options.raw();
        return detail::made<reply>([&](auto **out, auto **error) {
            return sentinel_batch_run(get(), commands.get(), &call, out, error);
        });
    }

    /**
     * Runs a script with its `KEYS` and `ARGV`: `run(script, {"stock:7"}, {1})`.
     *
     * One that fails may have written before: its outcome is unknown, unless the failure promises otherwise.
     */
    reply run(const script &script, const arguments &keys = {}, const arguments &args = {},
              const call_options &options = {}) const {
        return try_run(script, keys, args, options).value();
    }
    result<reply> try_run(const script &script, const arguments &keys = {}, const arguments &args = {},
                          const call_options &options = {}) const {
        arguments all;
        all.reserve(keys.size() + args.size());
        for (const arguments *some : {&keys, &args})
            for (std::size_t i = 0; i < some->size(); i++)
                all.add((*some)[i]);
        const sentinel_call_t call = options.raw();
        return detail::made<reply>([&](auto **out, auto **error) {
            return sentinel_script_run(get(), script.get(), keys.size(), all.size(), all.data(), all.lens(), &call, out,
                                       error);
        });
    }

    /** Takes a verified connection out of the pool, or makes one; limit_error when none became free in time. */
    connection acquire(std::chrono::milliseconds timeout = {}) const { return try_acquire(timeout).value(); }
    result<connection> try_acquire(std::chrono::milliseconds timeout = {}) const {
        return detail::made<connection>([&](auto **out, auto **error) {
            return sentinel_client_acquire(get(), timeout.count(), out, error);
        });
    }

    /** Submits a command; its completion appears in `to` with `tag`. The id is for cancel(). */
    std::uint64_t submit(const queue &to, const arguments &args, std::uint64_t tag,
                         const call_options &options = {}) const {
        std::string data;
        for (std::size_t i = 0; i < args.size(); i++)
            data += args[i];
        return submitted(options, [&](const sentinel_call_t *call, std::uint64_t *id, sentinel_error_t **error) {
            return sentinel_submit_queued(get(), args.size(), args.lens(), data.data(), data.size(), call, to.get(),
                                          tag, id, error);
        });
    }

    /** Submits a batch, copied; its completion appears in `to` with `tag`, its reply is that of run(). */
    std::uint64_t submit(const queue &to, const batch &commands, std::uint64_t tag,
                         const call_options &options = {}) const {
        return submitted(options, [&](const sentinel_call_t *call, std::uint64_t *id, sentinel_error_t **error) {
            return sentinel_submit_batch(get(), commands.get(), call, to.get(), tag, id, error);
        });
    }

    /**
     * Submits a command; `done` is called once, with a result<reply>, on the thread `sentinel-cb`.
     *
     * The id is for cancel().
     * `done` must not throw, which would end the program, nor call what blocks, which is would_deadlock. A submission
     * that fails throws here, and `done` is not called.
     */
    template <class Done, std::enable_if_t<std::is_invocable_v<Done &, result<reply>>, int> = 0>
    std::uint64_t submit(const arguments &args, Done done, const call_options &options = {}) const {
        return detail::waiting<Done>::submit(get(), args, options, std::move(done)).value();
    }

    /** Submits a command; the future gets its reply, or the exception that command() would throw. */
    std::future<reply> async(const arguments &args, const call_options &options = {}) const {
        auto promise = std::make_shared<std::promise<reply>>();
        std::future<reply> future = promise->get_future();
        auto done = [promise](result<reply> answer) {
            if (answer)
                promise->set_value(std::move(answer).value());
            else
                promise->set_exception(answer.error().exception());
        };
        const auto submitted = detail::waiting<decltype(done)>::submit(get(), args, options, std::move(done));
        if (!submitted)
            promise->set_exception(submitted.error().exception());
        return future;
    }

#if defined(__cpp_impl_coroutine)
    /** A command to be awaited. */
    awaitable_command co_command(const arguments &args, const call_options &options = {}) const {
        return awaitable_command(get(), args, options);
    }
    /** The same without braces, which GCC 12 refuses in an expression that awaits: `co_command("SET", key, 1)`. */
    template <class Name, class... Rest, std::enable_if_t<detail::is_text<Name>, int> = 0>
    awaitable_command co_command(const Name &name, const Rest &...rest) const {
        return co_command(arguments{name, rest...});
    }
#endif

    /** Ends a submitted call with cancelled, unless it has completed already. */
    void cancel(std::uint64_t call_id) const { detail::checked(sentinel_cancel(get(), call_id)).value(); }

private:
    template <class Call> static std::uint64_t submitted(const call_options &options, Call submit) {
        const sentinel_call_t call = options.raw();
        std::uint64_t id = 0;
        detail::done([&](auto **error) { return submit(&call, &id, error); }).value();
        return id;
    }
};

/** A name, or nothing or a null pointer where there is one to be taken by default. */
class name_or_default {
public:
    name_or_default() = default;
    name_or_default(std::nullptr_t) {}
    template <class T, std::enable_if_t<detail::is_text<T>, int> = 0> name_or_default(const T &name) {
        if constexpr (std::is_convertible_v<const T &, const char *>) {
            if (const char *text = name; text == nullptr)
                return;
        }
        text_ = detail::terminated(name);
    }

    /** For the functions of sentinel.h. */
    const char *c_str() const noexcept { return text_ ? text_->c_str() : nullptr; }

private:
    std::optional<std::string> text_;
};

/** Whose service; by default that of the URL. */
using service_name = name_or_default;
/** Whose login; by default that of the user `default`. */
using user_name = name_or_default;

/** A set of Sentinels and the services they watch. Any thread, any time; one for a program is enough. */
class deployment : public detail::handle<sentinel_t, sentinel_free> {
public:
    using handle::handle;

    /** Starts its thread, and does no I/O: it succeeds with every Sentinel down. */
    explicit deployment(const options &with)
        : deployment(detail::made<deployment>([&](auto **out, auto **error) {
              return sentinel_open(with.get(), out, error);
          }).value()) {}
    /** The same from a URL. */
    explicit deployment(std::string_view url) : deployment(options().url(url)) {}

    /** Ends every call on it and its clients with closed, and waits for its thread; timeout when that takes longer. */
    void close(std::chrono::milliseconds timeout = {}) const { try_close(timeout).value(); }
    result<void> try_close(std::chrono::milliseconds timeout = {}) const {
        return detail::checked(sentinel_close(get(), timeout.count()));
    }

    /** A client of the primary. Does no I/O. */
    client primary_for(const service_name &service = {}) const {
        return client_by(sentinel_primary_for, service, nullptr);
    }
    /** The same with options of its own; what they leave unset is inherited. */
    client primary_for(const service_name &service, const options &overrides) const {
        return client_by(sentinel_primary_for, service, overrides.get());
    }
    /** A client of the replicas. Does no I/O. */
    client replica_for(const service_name &service = {}) const {
        return client_by(sentinel_replica_for, service, nullptr);
    }
    /** The same with options of its own; what they leave unset is inherited. */
    client replica_for(const service_name &service, const options &overrides) const {
        return client_by(sentinel_replica_for, service, overrides.get());
    }

    /** The primary as the Sentinels name it, one entry; primary_not_found. */
    nodes discover_primary(const service_name &service = {}, std::chrono::milliseconds timeout = {}) const {
        return try_discover_primary(service, timeout).value();
    }
    result<nodes> try_discover_primary(const service_name &service = {}, std::chrono::milliseconds timeout = {}) const {
        return discover(sentinel_discover_primary, service, timeout);
    }
    /** The usable replicas, of which there may be none; replica_not_found when no Sentinel could say. */
    nodes discover_replicas(const service_name &service = {}, std::chrono::milliseconds timeout = {}) const {
        return try_discover_replicas(service, timeout).value();
    }
    result<nodes> try_discover_replicas(const service_name &service = {},
                                        std::chrono::milliseconds timeout = {}) const {
        return discover(sentinel_discover_replicas, service, timeout);
    }
    /** The Sentinels that watch the service; primary_not_found when none could say. */
    nodes discover_sentinels(const service_name &service = {}, std::chrono::milliseconds timeout = {}) const {
        return try_discover_sentinels(service, timeout).value();
    }
    result<nodes> try_discover_sentinels(const service_name &service = {},
                                         std::chrono::milliseconds timeout = {}) const {
        return discover(sentinel_discover_sentinels, service, timeout);
    }

    /**
     * Replaces the login at the data nodes, without a restart and without a failed call.
     *
     * For all clients whose overrides name neither user nor password. Returns at once. `password`: any bytes; none of
     * them: an empty one of that user, and without a user no login. Wiping it is the caller's.
     */
    void update_credentials(const user_name &user, std::string_view password) const {
        try_update_credentials(user, password).value();
    }
    result<void> try_update_credentials(const user_name &user, std::string_view password) const {
        return update(sentinel_update_credentials, user, password);
    }
    /** The same for the login at the Sentinels; connections to them that are open stay. */
    void update_sentinel_credentials(const user_name &user, std::string_view password) const {
        try_update_sentinel_credentials(user, password).value();
    }
    result<void> try_update_sentinel_credentials(const user_name &user, std::string_view password) const {
        return update(sentinel_update_sentinel_credentials, user, password);
    }

    /** The Sentinels of `options` take the place of those given before; no call fails for it. */
    void update_sentinels(const options &options) const { try_update_sentinels(options).value(); }
    result<void> try_update_sentinels(const options &options) const {
        return detail::done([&](auto **error) { return sentinel_update_sentinels(get(), options.get(), error); });
    }

    /** Lets the events of `mask`, a sum of `SENTINEL_EVENT_*`, appear in `to` with `tag`. */
    void watch_events(std::uint32_t mask, const queue &to, std::uint64_t tag) const {
        detail::done([&](auto **error) { return sentinel_watch_events(get(), mask, to.get(), tag, error); }).value();
    }
    /** Ends it. */
    void unwatch_events(const queue &to) const { watch_events(0, to, 0); }

    /** One number of the library's, such as `commands_total`. */
    std::int64_t metric(std::string_view name) const {
        std::int64_t value = 0;
        detail::checked(sentinel_metric(get(), detail::terminated(name).c_str(), &value)).value();
        return value;
    }
    /** All metrics in the Prometheus text format. */
    std::string metrics_text() const { return text(sentinel_metrics_text); }
    /** Every Sentinel and node as the library sees it now, and why, as JSON. */
    std::string describe() const { return text(sentinel_describe); }

private:
    template <class Make>
    client client_by(Make make, const service_name &service, const sentinel_options_t *overrides) const {
        return detail::made<client>([&](auto **out, auto **error) {
                   return make(get(), service.c_str(), overrides, out, error);
               })
            .value();
    }

    template <class Ask>
    result<nodes> discover(Ask ask, const service_name &service, std::chrono::milliseconds timeout) const {
        return detail::made<nodes>([&](auto **out, auto **error) {
            return ask(get(), service.c_str(), timeout.count(), out, error);
        });
    }

    template <class Update>
    result<void> update(Update with, const user_name &user, std::string_view password) const {
        return detail::done([&](auto **error) {
            return with(get(), user.c_str(), password.data(), password.size(), error);
        });
    }

    /* A text may grow between the call that asks for its length and the next. */
    template <class Write> std::string text(Write write) const {
        std::string buffer(4096, '\0');
        for (;;) {
            std::size_t len = 0;
            const sentinel_status_t status = write(get(), buffer.data(), buffer.size(), &len);
            if (status != SENTINEL_ERR_BUFFER_TOO_SMALL) {
                detail::checked(status).value();
                buffer.resize(len);
                return buffer;
            }
            buffer.resize(len + len / 4 + 1);
        }
    }
};

inline queue::queue(const deployment &of, std::size_t capacity)
    : queue(detail::made<queue>([&](auto **out, auto **error) {
          return sentinel_queue_new(of.get(), capacity, out, error);
      }).value()) {}

/** What is subscribed to, as `SENTINEL_SUBSCRIBE_*`. */
enum class channel_kind : std::int32_t {
    channel = SENTINEL_SUBSCRIBE_CHANNEL,
    pattern = SENTINEL_SUBSCRIBE_PATTERN,
    sharded = SENTINEL_SUBSCRIBE_SHARDED,
};

/** A set of channels and patterns that follows its client's service. Any thread, any time; ends when destroyed. */
class subscription : public detail::handle<sentinel_subscription_t, sentinel_subscription_free> {
public:
    using handle::handle;

    /** An empty one whose messages appear in `to` with `tag`. */
    subscription(const client &of, const queue &to, std::uint64_t tag)
        : subscription(detail::made<subscription>([&](auto **out, auto **error) {
              return sentinel_subscription_new(of.get(), to.get(), tag, out, error);
          }).value()) {}

    /** Adds a channel or pattern, any bytes. `confirm`: an event `subscribed` tells when it is in force. */
    void add(std::string_view channel, channel_kind kind = channel_kind::channel, bool confirm = false) const {
        change(sentinel_subscription_add, channel, kind, confirm ? SENTINEL_SUBSCRIBE_CONFIRM : 0);
    }
    /** Removes a channel or pattern; one that was not added is no error. */
    void remove(std::string_view channel, channel_kind kind = channel_kind::channel) const {
        change(sentinel_subscription_remove, channel, kind);
    }

private:
    template <class Change>
    void change(Change with, std::string_view channel, channel_kind kind, std::int32_t flags = 0) const {
        detail::done([&](auto **error) {
            return with(get(), static_cast<std::int32_t>(kind) | flags, channel.data(), channel.size(), error);
        }).value();
    }
};

} // namespace sentinel

#endif
