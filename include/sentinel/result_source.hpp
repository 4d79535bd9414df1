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

SENTINEL_HPP_INLINE result<std::string> terminated(std::string_view text) {
    if (text.find('\0') != std::string_view::npos)
        return not_sent("a name or option has a NUL inside");
    return std::string(text);
}

} // namespace detail

} // namespace sentinel

#endif
