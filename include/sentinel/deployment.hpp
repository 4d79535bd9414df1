/*
 * Where the clients come from: deployment; and subscription. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_DEPLOYMENT_HPP
#define SENTINEL_DEPLOYMENT_HPP

#include <sentinel/client.hpp>
#include <sentinel/options.hpp>

namespace sentinel {

/** A set of Sentinels and the services they watch. Any thread, any time; one for a program is enough. */
class deployment : public detail::handle<sentinel_t, sentinel_free> {
public:
    using handle::handle;

    /** Starts its thread, and does no I/O: it succeeds with every Sentinel down. */
    explicit deployment(const options &with) : deployment(try_open(with).value()) {}
    static result<deployment> try_open(const options &with);
    /** The same from a URL. */
    explicit deployment(const given_text &url) : deployment(try_open(url).value()) {}
    static result<deployment> try_open(const given_text &url);

    /** Ends every call on it and its clients with closed, and waits for its thread; timeout when that takes longer. */
    void close(std::chrono::milliseconds timeout = {}) const;
    result<void> try_close(std::chrono::milliseconds timeout = {}) const;

    /** A client of the primary. Does no I/O. */
    client primary_for(const service_name &service = {}) const;
    result<client> try_primary_for(const service_name &service = {}) const;
    /** The same with options of its own; what they leave unset is inherited. */
    client primary_for(const service_name &service, const options &overrides) const;
    result<client> try_primary_for(const service_name &service, const options &overrides) const;
    /** A client of the replicas. Does no I/O. */
    client replica_for(const service_name &service = {}) const;
    result<client> try_replica_for(const service_name &service = {}) const;
    /** The same with options of its own; what they leave unset is inherited. */
    client replica_for(const service_name &service, const options &overrides) const;
    result<client> try_replica_for(const service_name &service, const options &overrides) const;

    /** The primary as the Sentinels name it, one entry; primary_not_found. */
    nodes discover_primary(const service_name &service = {}, std::chrono::milliseconds timeout = {}) const;
    result<nodes> try_discover_primary(const service_name &service = {}, std::chrono::milliseconds timeout = {}) const;
    /** The usable replicas, of which there may be none; replica_not_found when no Sentinel could say. */
    nodes discover_replicas(const service_name &service = {}, std::chrono::milliseconds timeout = {}) const;
    result<nodes> try_discover_replicas(const service_name &service = {},
                                        std::chrono::milliseconds timeout = {}) const;
    /** The Sentinels that watch the service; primary_not_found when none could say. */
    nodes discover_sentinels(const service_name &service = {}, std::chrono::milliseconds timeout = {}) const;
    result<nodes> try_discover_sentinels(const service_name &service = {},
                                         std::chrono::milliseconds timeout = {}) const;

    /**
     * Replaces the login at the data nodes, without a restart and without a failed call.
     *
     * For all clients whose overrides name neither user nor password. Returns at once. `password`: any bytes; none of
     * them: an empty one of that user, and without a user no login. Wiping it is the caller's.
     */
    void update_credentials(const user_name &user, const given_text &password) const;
    result<void> try_update_credentials(const user_name &user, const given_text &password) const;
    /** The same for the login at the Sentinels; connections to them that are open stay. */
    void update_sentinel_credentials(const user_name &user, const given_text &password) const;
    result<void> try_update_sentinel_credentials(const user_name &user, const given_text &password) const;

    /** The Sentinels of `options` take the place of those given before; no call fails for it. */
    void update_sentinels(const options &options) const;
    result<void> try_update_sentinels(const options &options) const;

    /** Lets the events of `mask`, a sum of `SENTINEL_EVENT_*`, appear in `to` with `tag`. */
    void watch_events(std::uint32_t mask, const queue &to, std::uint64_t tag) const;
    result<void> try_watch_events(std::uint32_t mask, const queue &to, std::uint64_t tag) const;
    /** Ends it. */
    void unwatch_events(const queue &to) const { watch_events(0, to, 0); }

    /** One number of the library's, such as `commands_total`. */
    std::int64_t metric(const given_text &name) const;
    result<std::int64_t> try_metric(const given_text &name) const;
    /** All metrics in the Prometheus text format. */
    std::string metrics_text() const;
    result<std::string> try_metrics_text() const;
    /** Every Sentinel and node as the library sees it now, and why, as JSON. */
    std::string describe() const;
    result<std::string> try_describe() const;
};

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
    subscription(const client &of, const queue &to, std::uint64_t tag) : subscription(try_make(of, to, tag).value()) {}
    static result<subscription> try_make(const client &of, const queue &to, std::uint64_t tag);

    /** Adds a channel or pattern, any bytes. `confirm`: an event `subscribed` tells when it is in force. */
    void add(const given_text &channel, channel_kind kind = channel_kind::channel, bool confirm = false) const;
    result<void> try_add(const given_text &channel, channel_kind kind = channel_kind::channel,
                         bool confirm = false) const;
    /** Removes a channel or pattern; one that was not added is no error. */
    void remove(const given_text &channel, channel_kind kind = channel_kind::channel) const;
    result<void> try_remove(const given_text &channel, channel_kind kind = channel_kind::channel) const;
};

} // namespace sentinel

#if defined(SENTINEL_HPP_DEFINITIONS)
#include <sentinel/deployment_source.hpp>
#endif

#endif
