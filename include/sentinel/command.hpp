/*
 * What is sent: arguments, call_options, batch, script. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_COMMAND_HPP
#define SENTINEL_COMMAND_HPP

#include <sentinel/reply.hpp>

#include <array>
#include <forward_list>
#include <initializer_list>

namespace sentinel {

namespace detail {

template <class T>
inline constexpr bool is_text = std::is_convertible_v<const T &, std::string_view> && !std::is_null_pointer_v<T>;
/* bool and characters are left out: neither says whether a digit or a word is meant. */
template <class T>
inline constexpr bool is_number =
    (std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char> && !std::is_same_v<T, wchar_t> &&
     !std::is_same_v<T, char16_t> && !std::is_same_v<T, char32_t>) ||
    std::is_floating_point_v<T>;

/* A range of texts that live as long as it: not one that makes each std::string as it is asked for it. */
template <class T, class = void> struct is_range_of_text : std::false_type {};
template <class T>
struct is_range_of_text<T, std::void_t<decltype(std::begin(std::declval<const T &>()))>> {
    using element = decltype(*std::begin(std::declval<const T &>()));
    static constexpr bool lives = std::is_reference_v<element> || !std::is_class_v<element> ||
                                  std::is_same_v<std::remove_cv_t<element>, std::string_view>;
    static constexpr bool value = is_text<std::decay_t<element>> && lives && !is_text<T>;
};

} // namespace detail

/** One argument of a command: a text of any bytes, a number, which is sent as its decimal text, or a bool, sent as 1 or 0. */
class argument {
public:
    /** A text; borrowed. A null pointer is none: usage_error. */
    template <class T, std::enable_if_t<detail::is_text<T>, int> = 0>
    argument(const T &text) : text_(there(text)) {}

    /** 1 or 0. */
    template <class T, std::enable_if_t<std::is_same_v<T, bool>, char> = 0>
    argument(T truth) noexcept : text_(truth ? "1" : "0") {}

    /** A number; of a floating point one as many digits as it takes to read the same number again. */
    template <class T, std::enable_if_t<detail::is_number<T>, long> = 0>
    argument(T number) : is_number_(true) {
#if !defined(__cpp_lib_to_chars) // a standard library that has it for integers only
        if constexpr (std::is_floating_point_v<T>) {
            std::ostringstream stream;
            stream.imbue(std::locale::classic());
            stream.precision(std::numeric_limits<T>::max_digits10);
            stream << number;
            len_ = stream.str().copy(digits_.data(), digits_.size());
            return;
        } else
#endif
            len_ = static_cast<std::size_t>(
                std::to_chars(digits_.data(), digits_.data() + digits_.size(), number).ptr - digits_.data());
    }

    /** Its bytes; borrowed from it, or from what it was made of. */
    std::string_view text() const & noexcept {
        return is_number_ ? std::string_view(digits_.data(), len_) : text_;
    }
    bool is_number() const noexcept { return is_number_; }

private:
    template <class T> static std::string_view there(const T &text) {
        if constexpr (std::is_pointer_v<T>) {
            if (text == nullptr)
                failure(status::invalid_argument, "an argument of a command is a null pointer").raise();
        }
        return text;
    }

    std::string_view text_;
    std::array<char, 48> digits_; // 64 bits are 20 characters, a long double 44 at most
    std::size_t len_ = 0;
    bool is_number_ = false;
};

/**
 * A command: its name and its arguments, `{"SET", key, 1}`, or a range of texts such as a std::vector<std::string>.
 *
 * Texts are borrowed until the call that is given them returns, so that large values are sent from where they lie.
 */
class arguments {
public:
    arguments() = default;
    arguments(std::initializer_list<argument> list) {
        reserve(list.size());
        for (const argument &one : list)
            add(one);
    }
    template <class Range, std::enable_if_t<detail::is_range_of_text<Range>::value, int> = 0>
    arguments(const Range &range) {
        for (const auto &one : range)
            add(std::string_view(one));
    }
    arguments(arguments &&) = default;
    arguments &operator=(arguments &&) = default;

    /** Adds one more. */
    arguments &add(const argument &one) {
        std::string_view text = one.text();
        if (one.is_number())
            text = numbers_.emplace_front(text);
        // An empty view may have no address, which C takes for a mistake when it is in a list.
        data_.push_back(text.data() != nullptr ? text.data() : "");
        lens_.push_back(text.size());
        return *this;
    }
    void reserve(std::size_t count) {
        data_.reserve(count);
        lens_.reserve(count);
    }

    std::size_t size() const noexcept { return data_.size(); }
    std::string_view operator[](std::size_t index) const noexcept { return {data_[index], lens_[index]}; }
    /** For the functions of sentinel.h. */
    const char *const *data() const noexcept { return data_.data(); }
    const std::size_t *lens() const noexcept { return lens_.data(); }

private:
    std::vector<const char *> data_;
    std::vector<std::size_t> lens_;
    std::forward_list<std::string> numbers_;
};

/** How one call differs from the client's defaults. */
struct call_options {
    /** 0: the client's `timeout_ms`; no_limit; otherwise a hard deadline. */
    std::chrono::milliseconds timeout{0};
    /** Wait until so many replicas have the write; not_replicated when they do not in time. */
    std::uint32_t replicas = 0;
    /** Repeat even after outcome::unknown: the caller says that it is safe. */
    bool retry_unknown = false;
    /** Never repeat; wins over retry_unknown. */
    bool no_retry = false;
    /** Wait until the primary, and `replicas` replicas, have the write on disk (`WAITAOF`). */
    bool wait_aof = false;

    /** The same for the functions of sentinel.h. */
    sentinel_call_t raw() const noexcept {
        sentinel_call_t call = SENTINEL_CALL_INIT;
        call.flags = (retry_unknown ? SENTINEL_CALL_RETRY_UNKNOWN : 0u) | (no_retry ? SENTINEL_CALL_NO_RETRY : 0u) |
                     (wait_aof ? SENTINEL_CALL_WAIT_AOF : 0u);
        call.timeout_ms = timeout.count();
        call.replicas = replicas;
        return call;
    }
};

/** How the commands of a batch run. */
enum class batch_kind : std::int32_t {
    /** One after the other; those of others may come between them. */
    pipeline = SENTINEL_BATCH_PIPELINE,
    /** As one `MULTI` ... `EXEC`: nothing comes between them. */
    transaction = SENTINEL_BATCH_TRANSACTION,
};

/** Commands sent in one write by client::run, any number of times. Holds copies. One thread at a time. */
class batch : public detail::handle<sentinel_batch_t, sentinel_batch_free> {
public:
    explicit batch(batch_kind kind = batch_kind::pipeline)
        : handle(sentinel_batch_new(static_cast<std::int32_t>(kind))) {
        if (get() == nullptr)
            failure(status::invalid_argument, "no such kind of batch").raise();
    }

    /** Adds a command, copied; a failure leaves the batch as it was. */
    batch &add(const arguments &args) & {
        detail::checked(sentinel_batch_add(get(), args.size(), args.data(), args.lens())).value();
        return *this;
    }
    batch add(const arguments &args) && { return std::move(add(args)); }

    /** How many commands it holds. */
    std::size_t size() const noexcept { return sentinel_batch_len(get()); }
    bool empty() const noexcept { return size() == 0; }
    /** Removes all commands. */
    void clear() noexcept { sentinel_batch_clear(get()); }
};

/** What a script does, as `SENTINEL_SCRIPT_*`. */
enum class script_kind : std::uint32_t {
    /** It may write. */
    writes = 0,
    /** It only reads: run by `EVALSHA_RO` (redis 7), which refuses writes, and repeated as commands that only read. */
    read_only = SENTINEL_SCRIPT_READ_ONLY,
};

/** A Lua script for client::run, sent to a node only where it is not known. Holds a copy. Any thread, any time. */
class script : public detail::handle<sentinel_script_t, sentinel_script_free> {
public:
    explicit script(std::string_view source, script_kind kind = script_kind::writes)
        : handle(sentinel_script_new(source.data(), source.size(), static_cast<std::uint32_t>(kind))) {
        if (get() == nullptr)
            failure(status::invalid_argument, "no such kind of script").raise();
    }

    /** Its SHA-1 in hexadecimal digits, as `SCRIPT LOAD` gives it; borrowed. */
    std::string_view sha1() const noexcept {
        const char *digits = sentinel_script_sha1(get());
        return digits != nullptr ? std::string_view(digits) : std::string_view();
    }
};

} // namespace sentinel

#endif
