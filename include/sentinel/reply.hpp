/*
 * What the server answered: value and reply. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_REPLY_HPP
#define SENTINEL_REPLY_HPP

#include <sentinel/error.hpp>

#include <charconv>
#include <iterator>
#include <limits>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <type_traits>

namespace sentinel {

/** What a value is, as `SENTINEL_REPLY_*`. */
enum class type : std::int32_t {
    nil = SENTINEL_REPLY_NIL,
    status = SENTINEL_REPLY_STATUS,
    string = SENTINEL_REPLY_STRING,
    integer = SENTINEL_REPLY_INTEGER,
    floating = SENTINEL_REPLY_DOUBLE,
    boolean = SENTINEL_REPLY_BOOL,
    array = SENTINEL_REPLY_ARRAY,
    map = SENTINEL_REPLY_MAP,
    set = SENTINEL_REPLY_SET,
    verbatim = SENTINEL_REPLY_VERBATIM,
    big_number = SENTINEL_REPLY_BIG_NUMBER,
    push = SENTINEL_REPLY_PUSH,
    error = SENTINEL_REPLY_ERROR,
};

class reply;
class pair_range;

namespace detail {

/* Walks what `source[0]`, `source[1]`, ... give, by value. */
template <class Source, class Element> class indexed {
public:
    using iterator_category = std::input_iterator_tag; // by C++17's terms, for it gives no reference
    using iterator_concept = std::forward_iterator_tag;
    using value_type = Element;
    using difference_type = std::ptrdiff_t;
    using reference = Element;
    using pointer = void;

    indexed() = default;
    indexed(Source source, std::size_t index) noexcept : source_(source), index_(index) {}

    Element operator*() const { return source_[index_]; }
    indexed &operator++() noexcept { return ++index_, *this; }
    indexed operator++(int) noexcept {
        indexed before = *this;
        ++index_;
        return before;
    }
    friend bool operator==(const indexed &a, const indexed &b) noexcept { return a.index_ == b.index_; }
    friend bool operator!=(const indexed &a, const indexed &b) noexcept { return a.index_ != b.index_; }

private:
    Source source_{};
    std::size_t index_ = 0;
};

template <class T, class = void> struct reading;

} // namespace detail

/**
 * A value inside a reply, or the whole of it: borrowed, and valid as long as the reply lives. Cheap to copy.
 *
 * Accessors that do not convert never fail: of a wrong type, or beyond the end, they answer nil, 0 or nothing.
 */
class value {
public:
    value() = default;
    explicit value(const sentinel_reply_t *borrowed) noexcept : raw_(borrowed) {}
    /** A value of a reply that is gone at the end of the line is refused: keep the reply. */
    value(reply &&) = delete;

    /** The value for the functions of sentinel.h; NULL for nil that is in no reply. */
    const sentinel_reply_t *get() const noexcept { return raw_; }

    sentinel::type type() const noexcept {
        return raw_ != nullptr ? static_cast<sentinel::type>(sentinel_reply_type(raw_)) : type::nil;
    }
    bool is_nil() const noexcept { return type() == type::nil; }
    bool is_error() const noexcept { return type() == type::error; }
    /** Whether it is anything but nil. */
    explicit operator bool() const noexcept { return !is_nil(); }

    /** The bytes of a string, status, error, verbatim string, big number or double; borrowed, and any bytes. */
    std::string_view text() const noexcept { return text_if().value_or(std::string_view()); }
    /** The same, and nothing for types without bytes, nil among them. */
    std::optional<std::string_view> text_if() const noexcept {
        std::size_t len = 0;
        const char *data = sentinel_reply_data(raw_, &len);
        return data != nullptr ? std::optional<std::string_view>(std::in_place, data, len) : std::nullopt;
    }
    /** A copy of text(). */
    std::string str() const { return std::string(text()); }
    /** The number of an integer, 1 or 0 of a boolean; else 0. */
    std::int64_t integer() const noexcept { return sentinel_reply_integer(raw_); }
    /** The number of a double; else 0. */
    double number() const noexcept { return sentinel_reply_double(raw_); }
    /** The format of a verbatim string, such as `txt`; else empty. */
    std::string_view format() const noexcept {
        const char *format = sentinel_reply_verbatim_format(raw_);
        return format != nullptr ? std::string_view(format, 3) : std::string_view();
    }

    /**
     * A copy of it as a T: std::string, bool, an integer or floating type (a string that is a number counts),
     * std::optional of those (nothing for nil), a vector or set of those, a map of those (from a map, or from the array
     * that RESP2 sends for one).
     *
     * Throws type_mismatch where it is no such thing, and for an error that stands inside a reply the exception of it.
     */
    template <class T> T as() const {
        if (is_error())
            why().raise();
        return detail::reading<T>::from(*this);
    }

    /** Of an error inside a reply, as a batch or EXEC has it: the failure, to be looked at or thrown. */
    failure why() const {
        const std::string_view code = text().substr(0, text().find(' '));
        const bool cut = code == "NOTSENT" || code == "UNKNOWN"; // the words of sentinel_batch_run, no server's
        return failure(cut ? status::connection_lost : status::server, str());
    }

    /** How many elements begin() to end() walks: of an array, set or push; of a map its keys and values. */
    std::size_t size() const noexcept {
        const std::size_t len = sentinel_reply_len(raw_);
        return type() == type::map ? 2 * len : len;
    }
    bool empty() const noexcept { return size() == 0; }
    /** An element; nil beyond the last. In a map keys and values alternate. */
    value operator[](std::size_t index) const noexcept { return value(sentinel_reply_at(raw_, index)); }
    /** An element; std::out_of_range beyond the last. */
    value at(std::size_t index) const {
        if (index >= size())
            throw std::out_of_range("sentinel::value::at");
        return (*this)[index];
    }
    using iterator = detail::indexed<value, value>;
    using const_iterator = iterator;
    iterator begin() const noexcept;
    iterator end() const noexcept;

    /** The pairs of a map, or of an array read as one: key, value, key, value. */
    pair_range pairs() const noexcept;
    /** The value of the first pair of a map whose key has these bytes. Takes time with the size of the map. */
    std::optional<value> find(std::string_view key) const noexcept;
    /** The same; nil when there is none. */
    value operator[](std::string_view key) const noexcept { return find(key).value_or(value()); }

protected:
    const sentinel_reply_t *raw_ = nullptr;
};

/** The pairs of a map, in the server's order, duplicates included. Borrowed, like value. */
class pair_range {
public:
    using element = std::pair<value, value>;
    using iterator = detail::indexed<pair_range, element>;
    using const_iterator = iterator;

    pair_range() = default;
    explicit pair_range(value map) noexcept : map_(map) {}
    std::size_t size() const noexcept { return map_.size() / 2; }
    bool empty() const noexcept { return size() == 0; }
    element operator[](std::size_t index) const noexcept { return {map_[2 * index], map_[2 * index + 1]}; }
    iterator begin() const noexcept { return {*this, 0}; }
    iterator end() const noexcept { return {*this, size()}; }

private:
    value map_;
};

/**
 * A reply: owns its values. Reads like value.
 *
 * What would outlive a reply that nobody keeps does not compile: `client.command(...)[0]`. Keep the reply in a
 * variable, or take a copy by as() or str().
 */
class reply : public value {
public:
    /** Nil, without an object. */
    reply() = default;
    /** Takes over a reply of the C library. */
    explicit reply(sentinel_reply_t *owned) noexcept : value(owned), owned_(owned) {}
    reply(reply &&other) noexcept : value(std::exchange(other.raw_, nullptr)), owned_(std::move(other.owned_)) {}
    reply &operator=(reply &&other) noexcept {
        owned_ = std::move(other.owned_);
        other.raw_ = nullptr;
        raw_ = owned_.get(); // last, for an assignment to itself
        return *this;
    }

    /** The reply for the functions of sentinel.h; it stays with its owner. */
    sentinel_reply_t *get() const noexcept { return owned_.get(); }
    /** Gives it away: the caller frees it. */
    [[nodiscard]] sentinel_reply_t *detach() noexcept {
        raw_ = nullptr;
        return owned_.release();
    }

    value operator[](std::size_t index) const & noexcept { return value::operator[](index); }
    value operator[](std::string_view key) const & noexcept { return value::operator[](key); }
    value at(std::size_t index) const & { return value::at(index); }
    pair_range pairs() const & noexcept { return value::pairs(); }
    std::optional<value> find(std::string_view key) const & noexcept { return value::find(key); }
    value operator[](std::size_t index) const && = delete;
    value operator[](std::string_view key) const && = delete;
    value at(std::size_t index) const && = delete;
    pair_range pairs() const && = delete;
    std::optional<value> find(std::string_view key) const && = delete;

private:
    struct freed {
        void operator()(sentinel_reply_t *object) const noexcept { sentinel_reply_free(object); }
    };

    std::unique_ptr<sentinel_reply_t, freed> owned_;
};

inline value::iterator value::begin() const noexcept { return {value(raw_), 0}; }

inline value::iterator value::end() const noexcept { return {value(raw_), size()}; }

inline pair_range value::pairs() const noexcept { return pair_range(value(raw_)); }

inline std::optional<value> value::find(std::string_view key) const noexcept {
    const sentinel_reply_t *found = sentinel_reply_get(raw_, key.data(), key.size());
    return found != nullptr ? std::optional<value>(std::in_place, found) : std::nullopt;
}

namespace detail {

[[noreturn]] inline void mismatch(value of, const char *wanted) {
    const auto number = std::to_string(static_cast<std::int32_t>(of.type()));
    throw type_mismatch(failure(status::invalid_argument, "a value of type " + number + " is no " + wanted));
}

inline bool is_list(value of) noexcept {
    return of.type() == type::array || of.type() == type::set || of.type() == type::push;
}

template <> struct reading<std::string> {
    static std::string from(value of) {
        const auto text = of.text_if();
        if (!text && of.type() != type::integer)
            mismatch(of, "string");
        return text ? std::string(*text) : std::to_string(of.integer());
    }
};

template <> struct reading<bool> {
    static bool from(value of) {
        if (of.type() != type::boolean && of.type() != type::integer)
            mismatch(of, "boolean");
        return of.integer() != 0;
    }
};

template <class T> struct reading<T, std::enable_if_t<std::is_integral_v<T>>> {
    static T from(value of) {
        if (of.type() == type::integer || of.type() == type::boolean) {
            const T number = static_cast<T>(of.integer());
            // Equal after the way back, and of the same sign: nothing was lost.
            if (static_cast<std::int64_t>(number) != of.integer() || (number < T{}) != (of.integer() < 0))
                mismatch(of, "integer of this size");
            return number;
        }
        const std::string_view text = of.text();
        T number{};
        const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (text.empty() || wrong != std::errc() || end != text.data() + text.size())
            mismatch(of, "integer of this size");
        return number;
    }
};

template <class T> struct reading<T, std::enable_if_t<std::is_floating_point_v<T>>> {
    static T from(value of) {
        if (of.type() == type::floating)
            return static_cast<T>(of.number());
        if (of.type() == type::integer)
            return static_cast<T>(of.integer());
        const std::string_view text = of.text();
        if (text == "inf" || text == "+inf" || text == "-inf")
            return text[0] == '-' ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
        if (text == "nan" || text == "-nan")
            return std::numeric_limits<T>::quiet_NaN();
        std::istringstream stream{std::string(text)};
        stream.imbue(std::locale::classic()); // a point stays a point
        T number{};
        if (!(stream >> std::noskipws >> number) || stream.peek() != std::istringstream::traits_type::eof())
            mismatch(of, "floating point number");
        return number;
    }
};

template <class T> struct reading<std::optional<T>> {
    static std::optional<T> from(value of) {
        return of.is_nil() ? std::nullopt : std::optional<T>(of.as<T>());
    }
};

template <class T, class = void> struct is_map : std::false_type {};
template <class T> struct is_map<T, std::void_t<typename T::key_type, typename T::mapped_type>> : std::true_type {};

/* What takes elements at its end, or where they belong: a vector, list, deque, set, ... */
template <class T, class = void> struct is_list_of : std::false_type {};
template <class T>
struct is_list_of<T, std::void_t<decltype(std::declval<T &>().insert(std::declval<T &>().end(),
                                                                     std::declval<typename T::value_type>()))>>
    : std::bool_constant<!is_map<T>::value && !std::is_same_v<T, std::string>> {};

template <class T> struct reading<T, std::enable_if_t<is_list_of<T>::value>> {
    static T from(value of) {
        if (!is_list(of))
            mismatch(of, "list");
        T all;
        for (const value element : of)
            all.insert(all.end(), element.as<typename T::value_type>());
        return all;
    }
};

template <class T> struct reading<T, std::enable_if_t<is_map<T>::value>> {
    static T from(value of) {
        if (of.type() != type::map && !(of.type() == type::array && of.size() % 2 == 0))
            mismatch(of, "map");
        T all;
        for (const auto &[key, element] : of.pairs())
            all.emplace(key.template as<typename T::key_type>(), element.template as<typename T::mapped_type>());
        return all;
    }
};

} // namespace detail

} // namespace sentinel

#endif
