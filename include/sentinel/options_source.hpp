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

SENTINEL_HPP_INLINE result<void> options::try_add_sentinel(const given_text &host, std::uint16_t port) {
    const result<std::string> name = detail::terminated(host, "host");
    if (!name)
        return name.error();
    detail::output<void> to;
    return to.done(sentinel_options_add_sentinel(get(), name->c_str(), port, &to.error));
}

SENTINEL_HPP_INLINE result<void> options::try_url(const given_text &from) {
    const result<std::string> text = detail::terminated(from, "url");
    if (!text)
        return text.error();
    detail::output<void> to;
    return to.done(sentinel_options_parse_url(get(), text->c_str(), &to.error));
}

SENTINEL_HPP_INLINE result<void> options::try_set(const given_text &key, const given_text &value) {
    const result<std::string> name = detail::terminated(key, "key");
    if (!name)
        return name.error();
    const result<std::string> text = detail::terminated(value, *name);
    if (!text)
        return text.error();
    detail::output<void> to;
    return to.done(sentinel_options_set(get(), name->c_str(), text->c_str(), &to.error));
}

SENTINEL_HPP_INLINE result<void> options::set_number(const given_text &key, std::int64_t value) {
    const result<std::string> name = detail::terminated(key, "key");
    if (!name)
        return name.error();
    detail::output<void> to;
    return to.done(sentinel_options_set_int(get(), name->c_str(), value, &to.error));
}

SENTINEL_HPP_INLINE result<void> options::try_set(const given_text &key, std::chrono::milliseconds value) {
    std::int64_t count = value.count();
    for (std::size_t i = 0; const sentinel_options_key_t *known = sentinel_options_key(i); i++) {
        const std::string_view unit = known->unit;
        if (key.view() != known->name || unit == "ms")
            continue;
        if (unit != "s" || count % 1000 != 0) {
            const char *why = unit == "s" ? " ms are no whole number of seconds" : " ms are a time, and it takes none";
            return failure(status::invalid_argument, std::string(key.view()) + ": " + std::to_string(count) + why,
                           outcome::not_sent);
        }
        count /= 1000;
    }
    return set_number(key, count);
}

SENTINEL_HPP_INLINE result<void> options::try_set_secret(const given_text &key, const given_text &secret) {
    const result<std::string> name = detail::terminated(key, "key");
    if (!name)
        return name.error();
    const result<std::string_view> bytes = detail::some(secret, *name);
    if (!bytes)
        return bytes.error();
    detail::output<void> to;
    return to.done(sentinel_options_set_secret(get(), name->c_str(), bytes->data(), bytes->size(), &to.error));
}

SENTINEL_HPP_INLINE result<void> options::try_log(std::int32_t max_level, sentinel_log_fn to, void *user_data) {
    return detail::checked(sentinel_options_set_log(get(), max_level, to, user_data));
}

SENTINEL_HPP_INLINE void name_or_default::set(std::string_view name) {
    text_.emplace(name);
    if (name.find('\0') != std::string_view::npos)
        refused_ = "there is a NUL inside";
}

} // namespace sentinel

#endif
