/*
 * What is sent: arguments, call_options, batch, script. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_COMMAND_HPP
#define SENTINEL_COMMAND_HPP

#include <sentinel/reply.hpp>
#include <sentinel/result.hpp>

#include <initializer_list>

namespace sentinel {

class argument;
class arguments;

namespace detail {

template <class T>
inline constexpr bool is_text = std::is_convertible_v<const T &, std::string_view> && !std::is_null_pointer_v<T>;
/* Characters are left out: they do not say whether a digit or a word is meant. */
template <class T>
inline constexpr bool is_integer =
    std::is_integral_v<T> && sizeof(T) <= sizeof(std::int64_t) && !std::is_same_v<T, char> &&
    !std::is_same_v<T, wchar_t> && !std::is_same_v<T, char16_t> && !std::is_same_v<T, char32_t>
#if defined(__cpp_char8_t)
    && !std::is_same_v<T, char8_t>
#endif
    ;
template <class T> inline constexpr bool is_number = is_integer<T> || std::is_floating_point_v<T>;
/* Nor does a range of these say whether a text is meant, or many numbers. */
template <class T>
inline constexpr bool is_byte = std::is_same_v<T, unsigned char> || std::is_same_v<T, signed char> ||
                                (std::is_enum_v<T> && sizeof(T) == 1);

template <class T> struct is_optional : std::false_type {};
template <class T> struct is_optional<std::optional<T>> : std::true_type {};
template <class T> struct is_initializer_list : std::false_type {};
template <class T> struct is_initializer_list<std::initializer_list<T>> : std::true_type {};

template <class T, class = void> struct is_range : std::false_type {};
template <class T>
struct is_range<T, std::void_t<decltype(std::begin(std::declval<T &>()) != std::end(std::declval<T &>()))>>
    : std::true_type {
    using reference = decltype(*std::begin(std::declval<T &>()));
    using element = typename std::iterator_traits<decltype(std::begin(std::declval<T &>()))>::value_type;
};

/* T as it was given: a range may be one only when it is not const. */
template <class T> constexpr bool is_argument() {
    using type = bare<T>;
    if constexpr (std::is_same_v<type, argument> || is_text<type> || is_number<type>)
        return true;
    else if constexpr (is_optional<type>::value)
        return is_argument<typename type::value_type>();
    else if constexpr (is_pair<type>::value)
        return is_argument<typename type::first_type>() && is_argument<typename type::second_type>();
    else if constexpr (is_range<std::remove_reference_t<T>>::value) {
        using element = typename is_range<std::remove_reference_t<T>>::element;
        if constexpr (is_byte<element> || std::is_same_v<element, type>) // a path is a range of paths
            return false;
        else
            return is_argument<element>();
    } else
        return false;
}

/* Their decimal text, without an end: how many characters. Of a floating point number the shortest that is it. */
constexpr std::size_t digits_at_most = 48; // 64 bits are 20 characters, a long double 44 at most
std::size_t digits(char *into, std::int64_t number);
std::size_t digits(char *into, std::uint64_t number);
std::size_t digits(char *into, float number);
std::size_t digits(char *into, double number);
std::size_t digits(char *into, long double number);

} // namespace detail

/** Whether a T can be an argument of a command. */
template <class T> inline constexpr bool is_argument_v = detail::is_argument<T>();

/**
 * One argument of a command, or several.
 *
 * - a text of any bytes: what converts to std::string_view;
 * - a number, sent as its decimal text; of a floating point one as many digits as it takes to read the same one again;
 * - a bool, sent as 1 or 0;
 * - a std::optional of these, which must have a value: a command has no argument that is nothing;
 * - a range of these, as many arguments as it has elements, perhaps none: `{"DEL", keys}`; a std::pair of these, two;
 *   and so a map, its keys and values in turn: `{"HSET", key, map}`.
 *
 * A char, an enumeration, a duration, a pointer and a range of bytes do not say how they are meant, and do not compile.
 *
 * What has a name is borrowed. A std::string or range that is a temporary is taken over.
 */
class argument {
public:
    /** A text; borrowed. A null pointer is none: the call that is given it fails with invalid_argument. */
    argument(const char *text SENTINEL_HPP_BORROWED) noexcept { borrow(text); }
    argument(std::string_view text) noexcept : text_(text) {}
    argument(const std::string &text SENTINEL_HPP_BORROWED) noexcept : text_(text) {}
    argument(std::string &&text) { own(std::move(text)); }

    /** A number or a bool; by value, so that a bit-field and a constant without an address are some too. */
    template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0> argument(T of) {
        make(std::move(of));
    }
    /** Anything else of the above. */
    template <class T, std::enable_if_t<!std::is_same_v<detail::bare<T>, argument> &&
                                            !std::is_same_v<detail::bare<T>, arguments> &&
                                            !std::is_arithmetic_v<detail::bare<T>>,
                                        int> = 0>
    argument(T &&of) {
        make(std::forward<T>(of));
    }

    /** Its bytes; borrowed from it, or from what it was made of. Empty for a range or a pair. */
    std::string_view text() const & noexcept SENTINEL_HPP_BORROWED {
        return is_number_ ? std::string_view(digits_, len_) : text_;
    }
    std::string_view text() const && = delete;
    bool is_number() const noexcept { return is_number_; }

private:
    friend class arguments;

    template <class T> void make(T &&of) {
        static_assert(is_argument_v<T>,
                      "an argument of a command is a text (what converts to std::string_view), a number, a bool, or a "
                      "std::optional, std::pair, range or map of these; of a char, enumeration, duration, pointer or "
                      "range of bytes say how it is meant: std::string(1, c), static_cast<int>(e), d.count(), a "
                      "std::string_view of the bytes");
        if constexpr (is_argument_v<T>)
            take(std::forward<T>(of));
    }

    template <class T> void take(T &&of) {
        using kind = detail::bare<T>;
        if constexpr (std::is_same_v<kind, argument>)
            *this = std::forward<T>(of);
        else if constexpr (std::is_same_v<T, std::string>)
            own(std::move(of));
        else if constexpr (std::is_pointer_v<kind> || std::is_same_v<kind, std::string_view>)
            borrow(of);
        else if constexpr (detail::is_text<kind> && std::is_lvalue_reference_v<T>)
            text_ = of;
        else if constexpr (detail::is_text<kind>)
            own(std::string(static_cast<std::string_view>(of)));
        else if constexpr (std::is_same_v<kind, bool>)
            text_ = of ? "1" : "0";
        else if constexpr (detail::is_number<kind>)
            count(of);
        else if constexpr (detail::is_optional<kind>::value) {
            if (of)
                take(*std::forward<T>(of));
            else
                refused_ = "an argument of a command is an empty std::optional";
        } else
            spread(std::forward<T>(of));
    }

    template <class T> void count(T number) {
        is_number_ = true;
        if constexpr (std::is_floating_point_v<T>)
            len_ = detail::digits(digits_, number);
        else if constexpr (std::is_signed_v<T>)
            len_ = detail::digits(digits_, static_cast<std::int64_t>(number));
        else
            len_ = detail::digits(digits_, static_cast<std::uint64_t>(number));
    }
    /* Several: their range, or a pair, which is asked for them when they are added. */
    template <class T> void spread(T &&several) {
        using whole = std::remove_reference_t<T>;
        if constexpr (detail::is_initializer_list<std::remove_cv_t<whole>>::value) {
            // It has no elements of its own, and does not say for how long they live.
            using elements = std::vector<std::remove_cv_t<typename whole::value_type>>;
            const auto kept = std::make_shared<elements>(several.begin(), several.end());
            several_ = kept.get();
            kept_ = kept;
            add_to_ = add_each<elements>;
            return;
        } else if constexpr (std::is_lvalue_reference_v<T>)
            several_ = const_cast<std::remove_cv_t<whole> *>(std::addressof(several));
        else {
            const auto kept = std::make_shared<std::remove_cv_t<whole>>(std::forward<T>(several));
            several_ = kept.get();
            kept_ = kept;
        }
        add_to_ = add_each<whole>;
    }
    template <class T> static void add_each(arguments &to, void *several);

    void borrow(std::string_view text) noexcept { text_ = text; }
    void borrow(const char *text) noexcept {
        if (text != nullptr)
            text_ = text;
        else
            refused_ = "an argument of a command is a null pointer";
    }
    void own(std::string &&text);

    std::string_view text_;
    const char *refused_ = nullptr; // why it cannot be sent
    void *several_ = nullptr;
    void (*add_to_)(arguments &, void *) = nullptr;
    std::shared_ptr<const void> kept_; // what was taken over
    std::size_t len_ = 0;
    bool is_number_ = false;
    char digits_[detail::digits_at_most] = {};
};

/**
 * A command: its name and its arguments, `{"SET", key, 1}`, or a range of them such as a std::vector<std::string>.
 *
 * Texts that have a name are borrowed until the call that is given them returns, so that large values are sent from
 * where they lie; temporaries are taken over, so that arguments may be kept: only what has a name must outlive them.
 */
class arguments {
public:
    arguments() = default;
    arguments(std::initializer_list<argument> list) {
        reserve(list.size());
        for (const argument &one : list)
            append(one);
    }
    template <class Range, std::enable_if_t<detail::is_range<const Range>::value && !detail::is_text<Range>, int> = 0,
              std::enable_if_t<detail::is_text<typename detail::is_range<const Range>::element>, int> = 0>
    arguments(const Range &range SENTINEL_HPP_BORROWED) {
        append(range);
    }
    template <class Range, std::enable_if_t<!std::is_lvalue_reference_v<Range> && detail::is_range<Range>::value &&
                                                !detail::is_text<detail::bare<Range>>,
                                            int> = 0,
              std::enable_if_t<detail::is_text<typename detail::is_range<Range>::element>, int> = 0>
    arguments(Range &&range) {
        append(std::move(range));
    }
    arguments(arguments &&) = default;
    arguments &operator=(arguments &&) = default;

    /** Adds one more, or as many as a range has. */
    arguments &add(const argument &one) & {
        append(one);
        return *this;
    }
    arguments add(const argument &one) && {
        append(one);
        return std::move(*this);
    }
    void reserve(std::size_t count) {
        data_.reserve(count);
        lens_.reserve(count);
    }

    std::size_t size() const noexcept { return data_.size(); }
    /** Its bytes; borrowed. */
    std::string_view operator[](std::size_t index) const & noexcept SENTINEL_HPP_BORROWED {
        return data_[index] != nullptr ? std::string_view(data_[index], lens_[index]) : std::string_view();
    }
    std::string_view operator[](std::size_t index) const && = delete;
    /** Why they cannot be sent, as a null pointer or an empty std::optional among them; otherwise NULL. Static. */
    const char *refused() const noexcept { return refused_; }
    /** For the functions of sentinel.h, which refuse what refused() tells of. */
    const char *const *data() const & noexcept SENTINEL_HPP_BORROWED { return data_.data(); }
    const std::size_t *lens() const & noexcept SENTINEL_HPP_BORROWED { return lens_.data(); }
    const char *const *data() const && = delete;
    const std::size_t *lens() const && = delete;

private:
    void append(const argument &one);

    std::vector<const char *> data_;
    std::vector<std::size_t> lens_;
    std::vector<std::shared_ptr<const void>> kept_;
    const char *refused_ = nullptr;
};

template <class T> void argument::add_each(arguments &to, void *several) {
    T &all = *static_cast<T *>(several);
    if constexpr (detail::is_pair<std::remove_cv_t<T>>::value) {
        to.add(argument(all.first));
        to.add(argument(all.second));
    } else {
        using reference = typename detail::is_range<T>::reference;
        using element = typename detail::is_range<T>::element;
        for (auto &&one : all) {
            if constexpr (is_argument_v<reference>)
                to.add(argument(std::forward<decltype(one)>(one)));
            else // a reference to a bit
                to.add(argument(static_cast<element>(one)));
        }
    }
}

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
        sentinel_call_t call{};
        call.struct_size = sizeof call;
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
    explicit batch(batch_kind kind = batch_kind::pipeline);

    /** Adds a command, copied; a failure leaves the batch as it was. */
    batch &add(const arguments &args) &;
    batch add(const arguments &args) && { return std::move(add(args)); }
    result<void> try_add(const arguments &args);

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
    explicit script(const given_text &source, script_kind kind = script_kind::writes);

    /** Its SHA-1 in hexadecimal digits, as `SCRIPT LOAD` gives it; borrowed. */
    std::string_view sha1() const & noexcept SENTINEL_HPP_BORROWED;
    std::string_view sha1() const && = delete;
};

} // namespace sentinel

#if defined(SENTINEL_HPP_DEFINITIONS)
#include <sentinel/command_source.hpp>
#endif

#endif
