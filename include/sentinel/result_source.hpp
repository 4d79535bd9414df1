/*
 * The definitions of <sentinel/result.hpp>, which includes it.
 */
#ifndef SENTINEL_RESULT_SOURCE_HPP
#define SENTINEL_RESULT_SOURCE_HPP

#include <sentinel/result.hpp>

namespace sentinel {

namespace detail {

SENTINEL_HPP_INLINE void no_failure() {
    failure(status::wrong_state, "a result that holds no failure was asked for it", outcome::unknown).raise();
}

SENTINEL_HPP_INLINE failure not_sent(const char *why) {
    return failure(status::invalid_argument, why, outcome::not_sent);
}

SENTINEL_HPP_INLINE result<void> checked(sentinel_status_t status, sentinel_error_t *error) {
    if (status < 0)
        return failure(status, error);
    return {};
}

SENTINEL_HPP_INLINE result<std::uint64_t> output<std::uint64_t>::made(sentinel_status_t status) const {
    if (status < 0)
        return failure(status, error);
    return number;
}

SENTINEL_HPP_INLINE result<std::string_view> some(const given_text &text, std::string_view name) {
    if (text.is_null())
        return failure(status::null_argument, std::string(name) + " is NULL", outcome::not_sent);
    return text.view();
}

SENTINEL_HPP_INLINE result<std::string> terminated(const given_text &text, std::string_view name) {
    const result<std::string_view> there = some(text, name);
    if (!there)
        return there.error();
    if (there->find('\0') != std::string_view::npos)
        return failure(status::invalid_argument, std::string(name) + ": there is a NUL inside", outcome::not_sent);
    return std::string(*there);
}

} // namespace detail

} // namespace sentinel

#endif
