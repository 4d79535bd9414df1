/*
 * Why a call failed: status, failure, result, and the exceptions. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_ERROR_HPP
#define SENTINEL_ERROR_HPP

#include <sentinel.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace sentinel {

/** A deadline that never passes. */
inline constexpr std::chrono::milliseconds no_limit{-1};

/** How a call ended, as `SENTINEL_OK`, `SENTINEL_EMPTY` and `SENTINEL_ERR_*`. A later library may know more of them. */
enum class status : std::int32_t {
    ok = SENTINEL_OK,
    empty = SENTINEL_EMPTY,
    null_argument = SENTINEL_ERR_NULL_ARGUMENT,
    invalid_argument = SENTINEL_ERR_INVALID_ARGUMENT,
    unknown_option = SENTINEL_ERR_UNKNOWN_OPTION,
    invalid_utf8 = SENTINEL_ERR_INVALID_UTF8,
    wrong_state = SENTINEL_ERR_WRONG_STATE,
    would_deadlock = SENTINEL_ERR_WOULD_DEADLOCK,
    forked = SENTINEL_ERR_FORKED,
    buffer_too_small = SENTINEL_ERR_BUFFER_TOO_SMALL,
    unsupported_command = SENTINEL_ERR_UNSUPPORTED_COMMAND,
    unavailable = SENTINEL_ERR_UNAVAILABLE,
    primary_not_found = SENTINEL_ERR_PRIMARY_NOT_FOUND,
    replica_not_found = SENTINEL_ERR_REPLICA_NOT_FOUND,
    connect = SENTINEL_ERR_CONNECT,
    connection_lost = SENTINEL_ERR_CONNECTION_LOST,
    tls = SENTINEL_ERR_TLS,
    auth = SENTINEL_ERR_AUTH,
    protocol = SENTINEL_ERR_PROTOCOL,
    timeout = SENTINEL_ERR_TIMEOUT,
    server = SENTINEL_ERR_SERVER,
    readonly = SENTINEL_ERR_READONLY,
    loading = SENTINEL_ERR_LOADING,
    transaction_aborted = SENTINEL_ERR_TRANSACTION_ABORTED,
    not_replicated = SENTINEL_ERR_NOT_REPLICATED,
    pool_exhausted = SENTINEL_ERR_POOL_EXHAUSTED,
    queue_full = SENTINEL_ERR_QUEUE_FULL,
    cancelled = SENTINEL_ERR_CANCELLED,
    closed = SENTINEL_ERR_CLOSED,
    internal = SENTINEL_ERR_INTERNAL,
    panic = SENTINEL_ERR_PANIC,
};

/** The detail behind primary_not_found and replica_not_found, as `SENTINEL_REASON_*`. */
enum class reason : std::int32_t {
    none = SENTINEL_REASON_NONE,
    no_sentinel_reachable = SENTINEL_REASON_NO_SENTINEL_REACHABLE,
    unknown_service = SENTINEL_REASON_UNKNOWN_SERVICE,
    sentinel_auth = SENTINEL_REASON_SENTINEL_AUTH,
    wrong_role = SENTINEL_REASON_WRONG_ROLE,
    node_unreachable = SENTINEL_REASON_NODE_UNREACHABLE,
    no_usable_replica = SENTINEL_REASON_NO_USABLE_REPLICA,
    too_few_sentinels = SENTINEL_REASON_TOO_FEW_SENTINELS,
};

/** What became of a command that failed, as `SENTINEL_OUTCOME_*`: not_sent and refused promise that it did not run. */
enum class outcome : std::int32_t {
    not_sent = SENTINEL_OUTCOME_NOT_SENT,
    refused = SENTINEL_OUTCOME_REFUSED,
    unknown = SENTINEL_OUTCOME_UNKNOWN,
};

/** The name of a status, such as `PRIMARY_NOT_FOUND`; static. */
inline std::string_view name(status of) noexcept { return sentinel_status_name(static_cast<sentinel_status_t>(of)); }

/** All that is known of a failure. Copies share one immutable object; texts are borrowed from it. */
class failure {
public:
    /** Takes over `object`, which may be NULL. */
    explicit failure(sentinel_status_t status, sentinel_error_t *object = nullptr)
        : status_(static_cast<sentinel::status>(status)),
          object_(object != nullptr ? std::shared_ptr<const sentinel_error_t>(object, sentinel_error_free) : nullptr) {}

    /** One that the C library does not know of, in words. */
    failure(sentinel::status status, std::string text)
        : status_(status), text_(std::make_shared<const std::string>(std::move(text))) {}

    /** The status that the call returned. */
    sentinel::status status() const noexcept { return status_; }

    /** The detail behind primary_not_found and replica_not_found; none for other statuses. */
    sentinel::reason reason() const noexcept {
        return object_ ? static_cast<sentinel::reason>(sentinel_error_reason(object_.get())) : reason::none;
    }

    /** What became of the command; unknown where nothing is known. */
    sentinel::outcome outcome() const noexcept {
        if (object_)
            return static_cast<sentinel::outcome>(sentinel_error_outcome(object_.get()));
        return first_word() == "NOTSENT" ? outcome::not_sent : outcome::unknown;
    }

    /** What went wrong, for a log. */
    std::string_view message() const noexcept {
        if (!object_)
            return text_ ? std::string_view(*text_) : sentinel_status_message(static_cast<sentinel_status_t>(status_));
        return text(sentinel_error_message).value_or(std::string_view());
    }

    /** The first word of the server's error reply, such as `WRONGTYPE`. */
    std::optional<std::string_view> server_code() const noexcept {
        if (object_ || status_ != status::server)
            return text(sentinel_error_server_code);
        return first_word();
    }

    /** `host:port` of the node at which the call failed. */
    std::optional<std::string_view> endpoint() const noexcept { return text(sentinel_error_endpoint); }

    /** Every Sentinel and node that was tried, one line each: where, at which stage, why it failed. */
    std::vector<std::string_view> attempts() const {
        std::vector<std::string_view> lines(object_ ? sentinel_error_attempts(object_.get()) : 0);
        for (std::size_t i = 0; i < lines.size(); i++) {
            std::size_t len = 0;
            const char *line = sentinel_error_attempt(object_.get(), i, &len);
            if (line != nullptr)
                lines[i] = std::string_view(line, len);
        }
        return lines;
    }

    /** Whether it means "no connection to the service": every -2xx and -3xx status. */
    bool is_connection_error() const noexcept {
        return sentinel_status_is_connection_error(static_cast<sentinel_status_t>(status_)) != 0;
    }

    /** Throws the exception that goes with the status. */
    [[noreturn]] void raise() const;

    /** The same exception, to be thrown elsewhere. */
    std::exception_ptr exception() const;

private:
    using text_of = const char *(*)(const sentinel_error_t *, std::size_t *);

    std::optional<std::string_view> text(text_of get) const noexcept {
        std::size_t len = 0;
        const char *data = object_ ? get(object_.get(), &len) : nullptr;
        return data != nullptr ? std::optional<std::string_view>(std::in_place, data, len) : std::nullopt;
    }

    std::string_view first_word() const noexcept {
        const std::string_view all = text_ ? std::string_view(*text_) : std::string_view();
        return all.substr(0, all.find(' '));
    }

    sentinel::status status_;
    std::shared_ptr<const sentinel_error_t> object_;
    std::shared_ptr<const std::string> text_;
};

/** The base of all exceptions of the library: what() is the message, the rest is that of failure. */
class error : public std::runtime_error, public failure {
public:
    explicit error(const failure &why) : std::runtime_error(std::string(why.message())), failure(why) {}
};

/** -1xx: the call was not used as it must be. */
struct usage_error : error { using error::error; };
/** The function is not in this version of the library. */
struct unavailable : usage_error { using usage_error::usage_error; };
/** The command cannot run on a shared connection; the message says what to use instead. */
struct unsupported_command : usage_error { using usage_error::usage_error; };
/** A value of a reply was asked for as a type that it is not. Its status is invalid_argument. */
struct type_mismatch : usage_error { using usage_error::usage_error; };

/** -2xx and -3xx: no connection to the service. A program that treats them alike catches only this. */
struct connection_error : error { using error::error; };
/** No primary could be had; reason() and attempts() say why. */
struct primary_not_found : connection_error { using connection_error::connection_error; };
/** No replica could be had; reason() and attempts() say why. */
struct replica_not_found : connection_error { using connection_error::connection_error; };
/** The connection ended under the call; outcome() says what became of the command. */
struct connection_lost : connection_error { using connection_error::connection_error; };
/** A data node refused the login. */
struct auth_error : connection_error { using connection_error::connection_error; };
/** The peer broke the protocol, or a reply is over a limit. */
struct protocol_error : connection_error { using connection_error::connection_error; };
/** The deadline passed; outcome() says what became of the command. */
struct timeout : connection_error { using connection_error::connection_error; };

/** -4xx: the server answered with an error; server_code() has its first word. */
struct server_error : error { using error::error; };
/** The node takes no writes. */
struct readonly_error : server_error { using server_error::server_error; };
/** A watched key changed, or a command was refused before EXEC: nothing was executed. */
struct transaction_aborted : server_error { using server_error::server_error; };
/** The write was done, but too few replicas confirmed it in time. */
struct not_replicated : server_error { using server_error::server_error; };

/** A limit of the client: the pool is exhausted or a queue is full. Nothing was sent. */
struct limit_error : error { using error::error; };
/** The call was cancelled. */
struct cancelled : error { using error::error; };
/** The handle was closed. */
struct closed : error { using error::error; };
/** -9xx, or a status of a later library. */
struct internal_error : error { using error::error; };

inline void failure::raise() const {
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
    if (number <= -400 && number > -500)
        throw server_error(*this);
    if (number <= -100 && number > -200)
        throw usage_error(*this);
    throw internal_error(*this);
}

inline std::exception_ptr failure::exception() const {
    try {
        raise();
    } catch (...) {
        return std::current_exception();
    }
}

/** A value, or why there is none. */
template <class T> class [[nodiscard]] result {
public:
    result(T value) : held_(std::in_place_index<0>, std::move(value)) {}
    result(failure why) : held_(std::in_place_index<1>, std::move(why)) {}

    bool ok() const noexcept { return held_.index() == 0; }
    explicit operator bool() const noexcept { return ok(); }

    /** The value; throws the exception of the failure when there is none. */
    T &value() & { return check(), *std::get_if<0>(&held_); }
    const T &value() const & { return check(), *std::get_if<0>(&held_); }
    T value() && { return check(), std::move(*std::get_if<0>(&held_)); }
    T &operator*() & { return value(); }
    const T &operator*() const & { return value(); }
    T *operator->() { return &value(); }
    const T *operator->() const { return &value(); }

    /** The failure; throws std::bad_variant_access when there is none. */
    const failure &error() const & { return std::get<1>(held_); }
    failure error() && { return std::get<1>(std::move(held_)); }

private:
    void check() const {
        if (const auto *why = std::get_if<1>(&held_))
            why->raise();
    }

    std::variant<T, failure> held_;
};

/** Success, or why there is none. */
template <> class [[nodiscard]] result<void> {
public:
    result() = default;
    result(failure why) : why_(std::move(why)) {}

    bool ok() const noexcept { return !why_.has_value(); }
    explicit operator bool() const noexcept { return ok(); }

    /** Throws the exception of the failure, if there is one. */
    void value() const {
        if (why_)
            why_->raise();
    }

    /** The failure; throws std::bad_optional_access when there is none. */
    const failure &error() const & { return why_.value(); }
    failure error() && { return std::move(why_).value(); }

private:
    std::optional<failure> why_;
};

namespace detail {

/* Owns one object of the C library. */
template <class T, void (*Free)(T *)> class handle {
public:
    /** Takes over an object of the C library; NULL for a handle without one. */
    explicit handle(T *owned) noexcept : owned_(owned) {}

    /** The object, for the functions of sentinel.h; it stays with the handle. */
    T *get() const noexcept { return owned_.get(); }

    /** Gives the object away: the caller frees it. */
    [[nodiscard]] T *detach() noexcept { return owned_.release(); }

    /** Whether there is an object, which a moved-from handle has not. */
    explicit operator bool() const noexcept { return owned_ != nullptr; }

private:
    struct freed {
        void operator()(T *object) const noexcept { Free(object); }
    };

    std::unique_ptr<T, freed> owned_;
};

inline result<void> checked(sentinel_status_t status, sentinel_error_t *error = nullptr) {
    if (status < 0)
        return failure(status, error);
    return {};
}

/* What `call(&out, &error)` makes, as a Handle. */
template <class Handle, class Call> result<Handle> made(Call call) {
    std::remove_pointer_t<decltype(std::declval<const Handle &>().get())> *out = nullptr;
    sentinel_error_t *error = nullptr;
    const sentinel_status_t status = call(&out, &error);
    if (status < 0)
        return failure(status, error);
    return Handle(out);
}

/* `call(&error)` for what it does. */
template <class Call> result<void> done(Call call) {
    sentinel_error_t *error = nullptr;
    const sentinel_status_t status = call(&error);
    return checked(status, error);
}

/* Text for a parameter that ends with NUL; one inside would cut it short unseen. */
inline std::string terminated(std::string_view text) {
    if (text.find('\0') != std::string_view::npos)
        failure(status::invalid_argument, "a name or option has a NUL inside").raise();
    return std::string(text);
}

} // namespace detail

} // namespace sentinel

#endif
