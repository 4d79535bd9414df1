/*
 * The definitions of <sentinel/error.hpp>, which includes it.
 */
#ifndef SENTINEL_ERROR_SOURCE_HPP
#define SENTINEL_ERROR_SOURCE_HPP

#include <sentinel/error.hpp>

#include <cstdio>
#include <utility>

namespace sentinel {

SENTINEL_HPP_INLINE failure::failure(sentinel_status_t status, sentinel_error_t *object)
    : status_(static_cast<sentinel::status>(status)),
      object_(object != nullptr ? std::shared_ptr<const sentinel_error_t>(object, sentinel_error_free) : nullptr) {}

SENTINEL_HPP_INLINE failure::failure(sentinel::status status, std::string text, sentinel::outcome outcome)
    : status_(status), outcome_(outcome), text_(std::make_shared<const std::string>(std::move(text))) {}

SENTINEL_HPP_INLINE reason failure::reason() const noexcept {
    return object_ ? static_cast<sentinel::reason>(sentinel_error_reason(object_.get())) : reason::none;
}

SENTINEL_HPP_INLINE outcome failure::outcome() const noexcept {
    if (object_)
        return static_cast<sentinel::outcome>(sentinel_error_outcome(object_.get()));
    return outcome_;
}

SENTINEL_HPP_INLINE std::string_view failure::message() const & noexcept {
    if (!object_)
        return text_ ? std::string_view(*text_) : sentinel_status_message(static_cast<sentinel_status_t>(status_));
    return text(sentinel_error_message).value_or(std::string_view());
}

SENTINEL_HPP_INLINE std::string failure::str() const { return std::string(message()); }

SENTINEL_HPP_INLINE std::optional<std::string_view> failure::server_code() const & noexcept {
    return text(sentinel_error_server_code);
}

SENTINEL_HPP_INLINE std::optional<std::string_view> failure::endpoint() const & noexcept {
    return text(sentinel_error_endpoint);
}

SENTINEL_HPP_INLINE std::vector<std::string_view> failure::attempts() const & {
    std::vector<std::string_view> lines(object_ ? sentinel_error_attempts(object_.get()) : 0);
    for (std::size_t i = 0; i < lines.size(); i++) {
        std::size_t len = 0;
        const char *line = sentinel_error_attempt(object_.get(), i, &len);
        if (line != nullptr)
            lines[i] = std::string_view(line, len);
    }
    return lines;
}

SENTINEL_HPP_INLINE std::optional<std::string_view> failure::text(text_of get) const noexcept {
    std::size_t len = 0;
    const char *data = object_ ? get(object_.get(), &len) : nullptr;
    return data != nullptr ? std::optional<std::string_view>(std::in_place, data, len) : std::nullopt;
}

#if defined(SENTINEL_HPP_EXCEPTIONS)

SENTINEL_HPP_INLINE void failure::raise() const {
    switch (status_) {
    case status::unavailable: throw unavailable(*this);
    case status::unsupported_command: throw unsupported_command(*this);
    case status::primary_not_found: throw primary_not_found(*this);
    case status::replica_not_found: throw replica_not_found(*this);
    case status::connection_lost: throw connection_lost(*this);
    case status::auth: throw auth_error(*this);
    case status::protocol: throw protocol_error(*this);
    case status::timeout: throw sentinel::timeout(*this);
    case status::readonly: throw readonly_error(*this);
    case status::transaction_aborted: throw transaction_aborted(*this);
    case status::not_replicated: throw not_replicated(*this);
    case status::pool_exhausted:
    case status::queue_full: throw limit_error(*this);
    case status::cancelled: throw cancelled(*this);
    case status::closed: throw closed(*this);
    default: break; // by its hundred, so that a status of a later library finds its family
    }
    const auto number = static_cast<std::int32_t>(status_);
    if (is_connection_error())
        throw connection_error(*this);
    if (number <= SENTINEL_ERR_SERVER && number > SENTINEL_ERR_SERVER - 100)
        throw server_error(*this);
    if (number <= SENTINEL_ERR_NULL_ARGUMENT && number > SENTINEL_ERR_NULL_ARGUMENT - 100)
        throw usage_error(*this);
    throw internal_error(*this);
}

SENTINEL_HPP_INLINE std::exception_ptr failure::exception() const {
    try {
        raise();
    } catch (...) {
        return std::current_exception();
    }
}

#else

SENTINEL_HPP_INLINE void failure::raise() const {
    std::fprintf(stderr, "sentinel: %s: %s\n", sentinel_status_name(static_cast<sentinel_status_t>(status_)),
                 str().c_str());
    std::terminate();
}

#endif

} // namespace sentinel

#endif
