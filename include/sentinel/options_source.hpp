/*
 * The definitions of <sentinel/options.hpp>, which includes it.
 */
#ifndef SENTINEL_OPTIONS_SOURCE_HPP
#define SENTINEL_OPTIONS_SOURCE_HPP

#include <sentinel/options.hpp>

#include <algorithm>

namespace sentinel {

SENTINEL_HPP_INLINE options &options::after(const result<void> &done) {
    done.value();
    return *this;
}

SENTINEL_HPP_INLINE std::vector<option_key> options::keys() {
    std::vector<option_key> all;
    while (const sentinel_options_key_t *key = sentinel_options_key(all.size())) {
        std::vector<std::string_view> words;
        for (std::string_view rest = key->words; !rest.empty();) {
            words.push_back(rest.substr(0, rest.find(' ')));
            rest.remove_prefix(std::min(rest.size(), words.back().size() + 1));
        }
        all.push_back({key->name, static_cast<option_kind>(key->kind), key->default_value, key->unit, std::move(words),
                       key->help, key->min, key->max, (key->scope & SENTINEL_SCOPE_DEPLOYMENT) != 0,
                       (key->scope & SENTINEL_SCOPE_CLIENT) != 0});
    }
    return all;
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
