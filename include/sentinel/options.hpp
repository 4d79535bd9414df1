/*
 * What a deployment or a client is made of: options, names. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_OPTIONS_HPP
#define SENTINEL_OPTIONS_HPP

#include <sentinel/command.hpp>

#include <limits>

namespace sentinel {

/** What an option takes, as `SENTINEL_OPTION_*`. A later library may know more of them. */
enum class option_kind : std::int32_t {
    integer = SENTINEL_OPTION_INTEGER,
    limit = SENTINEL_OPTION_LIMIT,
    flag = SENTINEL_OPTION_FLAG,
    choice = SENTINEL_OPTION_CHOICE,
    text = SENTINEL_OPTION_TEXT,
    user = SENTINEL_OPTION_USER,
    secret = SENTINEL_OPTION_SECRET,
};

/** What can be said of an option before it is set. Its texts are static. */
struct option_key {
    /** The key by which it is set. */
    std::string_view name;
    /** What it takes. */
    option_kind kind;
    /** The value in force where none is set, as text; empty: none. */
    std::string_view default_value;
    /** What its numbers count: `ms`, `s`, `bytes`, or empty. */
    std::string_view unit;
    /** Of a choice what may be chosen. */
    std::vector<std::string_view> words;
    /** Its meaning in one line. */
    std::string_view help;
    /** The least and the most of a number. */
    std::int64_t min, max;
    /** What it is for: the Sentinels, the clients. Without the latter it is refused in overrides. */
    bool for_sentinels, for_clients;
};

/** What a deployment or a client is made of; the keys are those of docs/options.md. One thread at a time. */
class options : public detail::handle<sentinel_options_t, sentinel_options_free> {
public:
    /** The default of every key, and no Sentinel. */
    options() : handle(sentinel_options_new()) {}

    /** All options of the library that was loaded. */
    static std::vector<option_key> keys();

    /** Adds a Sentinel to ask: a host name or address, and its port. */
    options &add_sentinel(const given_text &host, std::uint16_t port = 26379) & {
        return after(try_add_sentinel(host, port));
    }
    options add_sentinel(const given_text &host, std::uint16_t port = 26379) && {
        return std::move(add_sentinel(host, port));
    }
    result<void> try_add_sentinel(const given_text &host, std::uint16_t port = 26379);

    /** Sets everything that a URL says: `redis+sentinel://[user[:password]@]host[:port][,...]/service[/database]`. */
    options &url(const given_text &from) & { return after(try_url(from)); }
    options url(const given_text &from) && { return std::move(url(from)); }
    result<void> try_url(const given_text &from);

    /** Sets an option by text. */
    options &set(const given_text &key, const given_text &value) & { return after(try_set(key, value)); }
    options set(const given_text &key, const given_text &value) && { return std::move(set(key, value)); }
    result<void> try_set(const given_text &key, const given_text &value);

    /** Sets an option that is a number: a count, bytes, milliseconds or a flag. */
    template <class T, std::enable_if_t<detail::is_integer<T>, int> = 0>
    options &set(const given_text &key, T value) & {
        return after(try_set(key, value));
    }
    template <class T, std::enable_if_t<detail::is_integer<T>, int> = 0>
    options set(const given_text &key, T value) && {
        return std::move(set(key, value));
    }
    template <class T, std::enable_if_t<detail::is_integer<T>, int> = 0>
    result<void> try_set(const given_text &key, T value) {
        // One that has no place in 64 bits with a sign is over every limit; as a text its message shows it.
        if constexpr (std::is_unsigned_v<T> && sizeof(T) >= sizeof(std::int64_t))
            if (value > static_cast<T>(std::numeric_limits<std::int64_t>::max()))
                return try_set(key, std::to_string(value));
        return set_number(key, static_cast<std::int64_t>(value));
    }

    /** Sets an option that is a time, in the unit that it counts: its name ends with `_ms` or `_s`. */
    options &set(const given_text &key, std::chrono::milliseconds value) & { return after(try_set(key, value)); }
    options set(const given_text &key, std::chrono::milliseconds value) && { return std::move(set(key, value)); }
    result<void> try_set(const given_text &key, std::chrono::milliseconds value);

    /** Sets a password (or a user name) from any bytes; none of them: no password. Wiping `secret` is the caller's. */
    options &set_secret(const given_text &key, const given_text &secret) & {
        return after(try_set_secret(key, secret));
    }
    options set_secret(const given_text &key, const given_text &secret) && {
        return std::move(set_secret(key, secret));
    }
    result<void> try_set_secret(const given_text &key, const given_text &secret);

    /** The log up to `max_level` (`SENTINEL_LOG_*`) goes to a function; see sentinel_options_set_log for its duties. */
    options &log(std::int32_t max_level, sentinel_log_fn to, void *user_data) & {
        return after(try_log(max_level, to, user_data));
    }
    options log(std::int32_t max_level, sentinel_log_fn to, void *user_data) && {
        return std::move(log(max_level, to, user_data));
    }
    result<void> try_log(std::int32_t max_level, sentinel_log_fn to, void *user_data);

private:
    options &after(const result<void> &done);
    result<void> set_number(const given_text &key, std::int64_t value);
};

/** A name, or nothing or a null pointer where there is one to be taken by default. */
class name_or_default {
public:
    name_or_default() = default;
    name_or_default(std::nullptr_t) {}
    template <class T, std::enable_if_t<detail::is_text<T>, int> = 0> name_or_default(const T &name) {
        if constexpr (std::is_convertible_v<const T &, const char *>) {
            if (const char *text = name; text == nullptr)
                return;
        }
        set(name);
    }

    /** Why it is no name, as one with a NUL inside is none; otherwise NULL. Static. */
    const char *refused() const noexcept { return refused_; }
    /** For the functions of sentinel.h; borrowed. */
    const char *c_str() const & noexcept SENTINEL_HPP_BORROWED { return text_ ? text_->c_str() : nullptr; }
    const char *c_str() const && = delete;

private:
    void set(std::string_view name);

    std::optional<std::string> text_;
    const char *refused_ = nullptr;
};

/** Whose service; by default that of the URL. */
using service_name = name_or_default;
/** Whose login; by default that of the user `default`. */
using user_name = name_or_default;

} // namespace sentinel

#if defined(SENTINEL_HPP_DEFINITIONS)
#include <sentinel/options_source.hpp>
#endif

#endif
