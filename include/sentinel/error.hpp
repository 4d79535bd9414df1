/*
 * Why a call failed: status, failure, and the exceptions. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_ERROR_HPP
#define SENTINEL_ERROR_HPP

#include <sentinel/config.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
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
    no_majority = SENTINEL_REASON_NO_MAJORITY,
    unconfirmed = SENTINEL_REASON_UNCONFIRMED,
};

/** What became of a command that failed, as `SENTINEL_OUTCOME_*`: not_sent and refused promise that it did not run. */
enum class outcome : std::int32_t {
    not_sent = SENTINEL_OUTCOME_NOT_SENT,
    refused = SENTINEL_OUTCOME_REFUSED,
    unknown = SENTINEL_OUTCOME_UNKNOWN,
};

/** The name of a status, such as `PRIMARY_NOT_FOUND`; static. */
inline std::string_view name(status of) noexcept { return sentinel_status_name(static_cast<sentinel_status_t>(of)); }

/** All that is known of a failure. Copies share one immutable object; texts are borrowed from it, or from a copy. */
class failure {
public:
    /** Takes over `object`, which may be NULL. */
    explicit failure(sentinel_status_t status, sentinel_error_t *object = nullptr);

    /** One that the C library does not know of, in words. */
    failure(sentinel::status status, std::string text, sentinel::outcome outcome = outcome::unknown);

    /** The status that the call returned. */
    sentinel::status status() const noexcept { return status_; }

    /** The detail behind primary_not_found and replica_not_found; none for other statuses. */
    sentinel::reason reason() const noexcept;

    /** What became of the command; unknown where nothing is known. */
    sentinel::outcome outcome() const noexcept;

    /** What went wrong, for a log; borrowed. */
    std::string_view message() const & noexcept SENTINEL_HPP_BORROWED;
    std::string_view message() const && = delete;
    /** A copy of message(). */
    std::string str() const;

    /** The first word of the server's error reply, such as `WRONGTYPE`; borrowed. */
    std::optional<std::string_view> server_code() const & noexcept SENTINEL_HPP_BORROWED;
    std::optional<std::string_view> server_code() const && = delete;

    /** `host:port` of the node at which the call failed; borrowed. */
    std::optional<std::string_view> endpoint() const & noexcept SENTINEL_HPP_BORROWED;
    std::optional<std::string_view> endpoint() const && = delete;

    /** Every Sentinel and node that was tried, one line each: where, at which stage, why it failed; borrowed. */
    std::vector<std::string_view> attempts() const & SENTINEL_HPP_BORROWED;
    std::vector<std::string_view> attempts() const && = delete;

    /** Whether it means "no connection to the service": every -2xx and -3xx status. */
    bool is_connection_error() const noexcept {
        return sentinel_status_is_connection_error(static_cast<sentinel_status_t>(status_)) != 0;
    }

    /** Throws the exception that goes with the status; with -fno-exceptions, says the message and terminates. */
    [[noreturn]] void raise() const;

#if defined(SENTINEL_HPP_EXCEPTIONS)
    /** The same exception, to be thrown elsewhere. */
    std::exception_ptr exception() const;
#endif

private:
    using text_of = const char *(*)(const sentinel_error_t *, std::size_t *);

    std::optional<std::string_view> text(text_of get) const noexcept;

    sentinel::status status_;
    sentinel::outcome outcome_ = outcome::unknown;
    std::shared_ptr<const sentinel_error_t> object_;
    std::shared_ptr<const std::string> text_;
};

/** The base of all exceptions of the library: what() is the message, the rest is that of failure. */
class error : public std::runtime_error, public failure {
public:
    explicit error(const failure &why) : std::runtime_error(why.str()), failure(why) {}
};

/** -1xx: the call was not used as it must be. */
struct usage_error : error { using error::error; };
/** The function is not in this version of the library. */
struct unavailable : usage_error { using usage_error::usage_error; };
/** The command cannot run on a shared connection; the message says what to use instead. */
struct unsupported_command : usage_error { using usage_error::usage_error; };
/** A value of a reply was asked for as a type that it is not. Its status is invalid_argument, its outcome unknown. */
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

} // namespace sentinel

#if defined(SENTINEL_HPP_DEFINITIONS)
#include <sentinel/error_source.hpp>
#endif

#endif
