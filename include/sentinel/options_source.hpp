/*
 * The definitions of <sentinel/options.hpp>, which includes it.
 */
#ifndef SENTINEL_OPTIONS_SOURCE_HPP
#define SENTINEL_OPTIONS_SOURCE_HPP

#include <sentinel/options.hpp>

namespace sentinel {

SENTINEL_HPP_INLINE options &options::after(const result<void> &done) {
    done.value();
    return *this;
}

SENTINEL_HPP_INLINE result<void> options::try_add_sentinel(std::string_view host, std::uint16_t port) {
    const result<std::string> name = detail::terminated(host);
    if (!name)
        return name.error();
    detail::output<void> to;
    return to.done(sentinel_options_add_sentinel(get(), name->c_str(), port, &to.error));
}

SENTINEL_HPP_INLINE result<void> options::try_url(std::string_view from) {
    const result<std::string> text = detail::terminated(from);
    if (!text)
        return text.error();
    detail::output<void> to;
    return to.done(sentinel_options_parse_url(get(), text->c_str(), &to.error));
}

SENTINEL_HPP_INLINE result<void> options::try_set(std::string_view key, std::string_view value) {
    const result<std::string> name = detail::terminated(key), text = detail::terminated(value);
    if (!name || !text)
        return name ? text.error() : name.error();
    detail::output<void> to;
    return to.done(sentinel_options_set(get(), name->c_str(), text->c_str(), &to.error));
}

SENTINEL_HPP_INLINE result<void> options::try_set(std::string_view key, std::int64_t value) {
    const result<std::string> name = detail::terminated(key);
    if (!name)
        return name.error();
    detail::output<void> to;
    return to.done(sentinel_options_set_int(get(), name->c_str(), value, &to.error));
}

SENTINEL_HPP_INLINE result<void> options::try_set(std::string_view key, std::chrono::milliseconds value) {
    const std::int64_t count = value.count();
    return try_set(key, count);
}

SENTINEL_HPP_INLINE result<void> options::try_set_secret(std::string_view key, std::string_view secret) {
    const result<std::string> name = detail::terminated(key);
    if (!name)
        return name.error();
    detail::output<void> to;
    return to.done(sentinel_options_set_secret(get(), name->c_str(), secret.data(), secret.size(), &to.error));
}

SENTINEL_HPP_INLINE result<void> options::try_log(std::int32_t max_level, sentinel_log_fn to, void *user_data) {
    return detail::checked(sentinel_options_set_log(get(), max_level, to, user_data));
}

SENTINEL_HPP_INLINE void name_or_default::set(std::string_view name) {
    text_.emplace(name);
    if (name.find('\0') != std::string_view::npos)
        refused_ = "a name has a NUL inside";
}

} // namespace sentinel

#endif
