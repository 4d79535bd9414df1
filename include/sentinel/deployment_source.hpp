/*
 * The definitions of <sentinel/deployment.hpp>, which includes it.
 */
#ifndef SENTINEL_DEPLOYMENT_SOURCE_HPP
#define SENTINEL_DEPLOYMENT_SOURCE_HPP

#include <sentinel/deployment.hpp>

namespace sentinel {

namespace detail {

inline failure refused_name(const char *parameter, const name_or_default &name) {
    return failure(status::invalid_argument, std::string(parameter) + ": " + name.refused(), outcome::not_sent);
}

inline result<client> client_by(decltype(sentinel_primary_for) *make, sentinel_t *of, const service_name &service,
                                const sentinel_options_t *overrides) {
    if (service.refused() != nullptr)
        return refused_name("service", service);
    output<client> to;
    return to.made(make(of, service.c_str(), overrides, &to.object, &to.error));
}

/* Overrides that were moved away are not the same as none. */
inline result<client> overridden(decltype(sentinel_primary_for) *make, sentinel_t *of, const service_name &service,
                                 const options &overrides) {
    if (!overrides)
        return failure(status::null_argument, "overrides is NULL", outcome::not_sent);
    return client_by(make, of, service, overrides.get());
}

inline result<nodes> discovered(decltype(sentinel_discover_primary) *ask, sentinel_t *of, const service_name &service,
                                std::chrono::milliseconds timeout) {
    if (service.refused() != nullptr)
        return refused_name("service", service);
    output<nodes> to;
    return to.made(ask(of, service.c_str(), timeout.count(), &to.object, &to.error));
}

inline result<void> updated(decltype(sentinel_update_credentials) *with, sentinel_t *of, const user_name &user,
                            const given_text &password) {
    if (user.refused() != nullptr)
        return refused_name("username", user);
    const result<std::string_view> bytes = some(password, "password");
    if (!bytes)
        return bytes.error();
    output<void> to;
    return to.done(with(of, user.c_str(), bytes->data(), bytes->size(), &to.error));
}

/* A text may grow between the call that asks for its length and the next. */
inline result<std::string> written(decltype(sentinel_describe) *write, const sentinel_t *of) {
    std::string buffer(4096, '\0');
    for (;;) {
        std::size_t len = 0;
        const sentinel_status_t status = write(of, buffer.data(), buffer.size(), &len);
        if (status != SENTINEL_ERR_BUFFER_TOO_SMALL) {
            if (status < 0)
                return failure(status);
            buffer.resize(len);
            return buffer;
        }
        buffer.resize(len + len / 4 + 1);
    }
}

inline result<void> changed(decltype(sentinel_subscription_add) *with, sentinel_subscription_t *of,
                            const given_text &channel, std::int32_t kind) {
    const result<std::string_view> bytes = some(channel, "channel");
    if (!bytes)
        return bytes.error();
    output<void> to;
    return to.done(with(of, kind, bytes->data(), bytes->size(), &to.error));
}

} // namespace detail

SENTINEL_HPP_INLINE result<deployment> deployment::try_open(const options &with) {
    detail::output<deployment> to;
    return to.made(sentinel_open(with.get(), &to.object, &to.error));
}

SENTINEL_HPP_INLINE result<deployment> deployment::try_open(const given_text &url) {
    options with;
    const result<void> read = with.try_url(url);
    if (!read)
        return read.error();
    return try_open(with);
}

SENTINEL_HPP_INLINE void deployment::close(std::chrono::milliseconds timeout) const { try_close(timeout).value(); }

SENTINEL_HPP_INLINE result<void> deployment::try_close(std::chrono::milliseconds timeout) const {
    return detail::checked(sentinel_close(get(), timeout.count()));
}

SENTINEL_HPP_INLINE client deployment::primary_for(const service_name &service) const {
    return try_primary_for(service).value();
}
SENTINEL_HPP_INLINE result<client> deployment::try_primary_for(const service_name &service) const {
    return detail::client_by(sentinel_primary_for, get(), service, nullptr);
}
SENTINEL_HPP_INLINE client deployment::primary_for(const service_name &service, const options &overrides) const {
    return try_primary_for(service, overrides).value();
}
SENTINEL_HPP_INLINE result<client> deployment::try_primary_for(const service_name &service,
                                                               const options &overrides) const {
    return detail::overridden(sentinel_primary_for, get(), service, overrides);
}
SENTINEL_HPP_INLINE client deployment::replica_for(const service_name &service) const {
    return try_replica_for(service).value();
}
SENTINEL_HPP_INLINE result<client> deployment::try_replica_for(const service_name &service) const {
    return detail::client_by(sentinel_replica_for, get(), service, nullptr);
}
SENTINEL_HPP_INLINE client deployment::replica_for(const service_name &service, const options &overrides) const {
    return try_replica_for(service, overrides).value();
}
SENTINEL_HPP_INLINE result<client> deployment::try_replica_for(const service_name &service,
                                                               const options &overrides) const {
    return detail::overridden(sentinel_replica_for, get(), service, overrides);
}

SENTINEL_HPP_INLINE nodes deployment::discover_primary(const service_name &service,
                                                       std::chrono::milliseconds timeout) const {
    return try_discover_primary(service, timeout).value();
}
SENTINEL_HPP_INLINE result<nodes> deployment::try_discover_primary(const service_name &service,
                                                                   std::chrono::milliseconds timeout) const {
    return detail::discovered(sentinel_discover_primary, get(), service, timeout);
}
SENTINEL_HPP_INLINE nodes deployment::discover_replicas(const service_name &service,
                                                        std::chrono::milliseconds timeout) const {
    return try_discover_replicas(service, timeout).value();
}
SENTINEL_HPP_INLINE result<nodes> deployment::try_discover_replicas(const service_name &service,
                                                                    std::chrono::milliseconds timeout) const {
    return detail::discovered(sentinel_discover_replicas, get(), service, timeout);
}
SENTINEL_HPP_INLINE nodes deployment::discover_sentinels(const service_name &service,
                                                         std::chrono::milliseconds timeout) const {
    return try_discover_sentinels(service, timeout).value();
}
SENTINEL_HPP_INLINE result<nodes> deployment::try_discover_sentinels(const service_name &service,
                                                                     std::chrono::milliseconds timeout) const {
    return detail::discovered(sentinel_discover_sentinels, get(), service, timeout);
}

SENTINEL_HPP_INLINE void deployment::update_credentials(const user_name &user, const given_text &password) const {
    try_update_credentials(user, password).value();
}
SENTINEL_HPP_INLINE result<void> deployment::try_update_credentials(const user_name &user,
                                                                    const given_text &password) const {
    return detail::updated(sentinel_update_credentials, get(), user, password);
}
SENTINEL_HPP_INLINE void deployment::update_sentinel_credentials(const user_name &user,
                                                                 const given_text &password) const {
    try_update_sentinel_credentials(user, password).value();
}
SENTINEL_HPP_INLINE result<void> deployment::try_update_sentinel_credentials(const user_name &user,
                                                                             const given_text &password) const {
    return detail::updated(sentinel_update_sentinel_credentials, get(), user, password);
}

SENTINEL_HPP_INLINE void deployment::update_sentinels(const options &options) const {
    try_update_sentinels(options).value();
}
SENTINEL_HPP_INLINE result<void> deployment::try_update_sentinels(const options &options) const {
    detail::output<void> to;
    return to.done(sentinel_update_sentinels(get(), options.get(), &to.error));
}

SENTINEL_HPP_INLINE void deployment::watch_events(std::uint32_t mask, const queue &to, std::uint64_t tag) const {
    try_watch_events(mask, to, tag).value();
}
SENTINEL_HPP_INLINE result<void> deployment::try_watch_events(std::uint32_t mask, const queue &to,
                                                              std::uint64_t tag) const {
    detail::output<void> watched;
    return watched.done(sentinel_watch_events(get(), mask, to.get(), tag, &watched.error));
}

SENTINEL_HPP_INLINE std::int64_t deployment::metric(const given_text &name) const { return try_metric(name).value(); }
SENTINEL_HPP_INLINE result<std::int64_t> deployment::try_metric(const given_text &name) const {
    const result<std::string> text = detail::terminated(name, "name");
    if (!text)
        return text.error();
    std::int64_t value = 0;
    const sentinel_status_t status = sentinel_metric(get(), text->c_str(), &value);
    if (status < 0)
        return failure(status);
    return value;
}
SENTINEL_HPP_INLINE std::string deployment::metrics_text() const { return try_metrics_text().value(); }
SENTINEL_HPP_INLINE result<std::string> deployment::try_metrics_text() const {
    return detail::written(sentinel_metrics_text, get());
}
SENTINEL_HPP_INLINE std::string deployment::describe() const { return try_describe().value(); }
SENTINEL_HPP_INLINE result<std::string> deployment::try_describe() const {
    return detail::written(sentinel_describe, get());
}

SENTINEL_HPP_INLINE result<queue> queue::try_make(const deployment &of, std::size_t capacity) {
    detail::output<queue> to;
    return to.made(sentinel_queue_new(of.get(), capacity, &to.object, &to.error));
}

SENTINEL_HPP_INLINE result<subscription> subscription::try_make(const client &of, const queue &to, std::uint64_t tag) {
    detail::output<subscription> made;
    return made.made(sentinel_subscription_new(of.get(), to.get(), tag, &made.object, &made.error));
}

SENTINEL_HPP_INLINE void subscription::add(const given_text &channel, channel_kind kind, bool confirm) const {
    try_add(channel, kind, confirm).value();
}
SENTINEL_HPP_INLINE result<void> subscription::try_add(const given_text &channel, channel_kind kind,
                                                       bool confirm) const {
    const std::int32_t flags = confirm ? SENTINEL_SUBSCRIBE_CONFIRM : 0;
    return detail::changed(sentinel_subscription_add, get(), channel, static_cast<std::int32_t>(kind) | flags);
}
SENTINEL_HPP_INLINE void subscription::remove(const given_text &channel, channel_kind kind) const {
    try_remove(channel, kind).value();
}
SENTINEL_HPP_INLINE result<void> subscription::try_remove(const given_text &channel, channel_kind kind) const {
    return detail::changed(sentinel_subscription_remove, get(), channel, static_cast<std::int32_t>(kind));
}

} // namespace sentinel

#endif
