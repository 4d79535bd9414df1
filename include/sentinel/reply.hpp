/*
 * What the server answered: value and reply. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_REPLY_HPP
#define SENTINEL_REPLY_HPP

#include <sentinel/error.hpp>
#include <sentinel/result.hpp>

#include <iterator>
#include <limits>
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

/* How a value is read as a T; here as what it cannot be. */
template <class T, class = void> struct reading {
    static_assert(sizeof(T) == 0, "as<T>(): T is a std::string, a bool, an integer, a floating point type, or a "
                                  "std::optional, std::pair, list, set or map of those; a view of a reply is text()");
};

struct misfit;

} // namespace detail

/**
 * A value inside a reply, or the whole of it: borrowed, and valid as long as the reply lives. Cheap to copy.
 *
 * Accessors that do not convert never fail: of a wrong type, or beyond the end, they answer nil, 0 or nothing.
 */
class SENTINEL_HPP_VIEW value {
public:
    value() = default;
    explicit value(const sentinel_reply_t *borrowed) noexcept : raw_(borrowed) {}

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
    std::optional<std::string_view> text_if() const noexcept;
    /** A copy of text(). */
    std::string str() const { return std::string(text()); }
    /** The number of an integer, 1 or 0 of a boolean; else 0. */
    std::int64_t integer() const noexcept { return sentinel_reply_integer(raw_); }
    /** The number of a double; else 0. */
    double number() const noexcept { return sentinel_reply_double(raw_); }
    /** The format of a verbatim string, such as `txt`; else empty. */
    std::string_view format() const noexcept;

    /**
     * A copy of it as a T: std::string, bool (of a boolean, an integer, OK, or the texts 1 and 0), an integer or floating
     * type (a string that is a number counts), std::optional of those (nothing for nil), a std::pair, vector or set of
     * those, a map or a list of pairs of those (from a map, from the array that RESP2 sends for one, and from a list of
     * pairs such as that of `ZRANGE WITHSCORES`).
     *
     * Throws type_mismatch where it is no such thing, and for an error that stands inside a reply the exception of it.
     */
    template <class T> T as() const;
    /** The same as a result: invalid_argument where it is no such thing, and of an error its failure. */
    template <class T> result<T> try_as() const;

    /**
     * Of an error inside a reply, as a batch or EXEC has it: the failure, to be looked at or thrown. Its outcome is refused
     * where the server itself says that nothing was executed, and unknown where a script or a module speaks.
     */
    failure why() const;

    /** How many elements begin() to end() walks: of an array, set or push; of a map its keys and values. */
    std::size_t size() const noexcept;
    bool empty() const noexcept { return size() == 0; }
    /** An element; nil beyond the last. In a map keys and values alternate. */
    value operator[](std::size_t index) const noexcept { return value(sentinel_reply_at(raw_, index)); }
    /** An element; usage_error beyond the last. */
    value at(std::size_t index) const;
    using iterator = detail::indexed<value, value>;
    using const_iterator = iterator;
    iterator begin() const noexcept;
    iterator end() const noexcept;

    /**
     * The pairs of a map; of an array read as one: key, value, key, value; of an array of arrays of two, such as that of
     * `ZRANGE WITHSCORES`.
     */
    pair_range pairs() const noexcept;
    /** The value of the first pair of a map whose key has these bytes. Takes time with the size of the map. */
    std::optional<value> find(std::string_view key) const noexcept;
    /** The same; nil when there is none. */
    value operator[](std::string_view key) const noexcept;

private:
    const sentinel_reply_t *raw_ = nullptr;
};

/** The pairs of a map, in the server's order, duplicates included. Borrowed, like value. */
class SENTINEL_HPP_VIEW pair_range {
public:
    using element = std::pair<value, value>;
    using iterator = detail::indexed<pair_range, element>;
    using const_iterator = iterator;

    pair_range() = default;
    explicit pair_range(value map) noexcept;
    std::size_t size() const noexcept { return nested_ ? map_.size() : map_.size() / 2; }
    bool empty() const noexcept { return size() == 0; }
    element operator[](std::size_t index) const noexcept {
        if (nested_)
            return {map_[index][0], map_[index][1]};
        return {map_[2 * index], map_[2 * index + 1]};
    }
    iterator begin() const noexcept { return {*this, 0}; }
    iterator end() const noexcept { return {*this, size()}; }

private:
    value map_;
    bool nested_ = false; // an array of arrays of two
};

inline value::iterator value::begin() const noexcept { return {*this, 0}; }
inline value::iterator value::end() const noexcept { return {*this, size()}; }
inline pair_range value::pairs() const noexcept { return pair_range(*this); }
inline value value::operator[](std::string_view key) const noexcept { return find(key).value_or(value()); }

/**
 * A reply: owns its values. Reads like value, and converts to one that is borrowed from it.
 *
 * What would outlive a reply that nobody keeps does not compile: `client.command(...).text()`, or `[0]`. Keep the reply
 * in a variable, or take a copy: `client.command(...).str()`, `client.command(...).as<T>()`.
 */
class reply {
public:
    /** Nil, without an object. */
    reply() = default;
    /** Takes over a reply of the C library. */
    explicit reply(sentinel_reply_t *owned) noexcept : owned_(owned) {}

    /** The reply for the functions of sentinel.h; it stays with its owner. */
    sentinel_reply_t *get() const & noexcept SENTINEL_HPP_BORROWED { return owned_.get(); }
    sentinel_reply_t *get() const && = delete;
    /** Gives it away: the caller frees it. */
    [[nodiscard]] sentinel_reply_t *detach() noexcept { return owned_.release(); }

    /** The whole of it; borrowed. */
    operator value() const & noexcept SENTINEL_HPP_BORROWED { return all(); }
    operator value() const && = delete;

    /* As of value. */
    sentinel::type type() const noexcept { return all().type(); }
    bool is_nil() const noexcept { return all().is_nil(); }
    bool is_error() const noexcept { return all().is_error(); }
    explicit operator bool() const noexcept { return !is_nil(); }
    std::string str() const { return all().str(); }
    std::int64_t integer() const noexcept { return all().integer(); }
    double number() const noexcept { return all().number(); }
    template <class T> T as() const { return all().as<T>(); }
    template <class T> result<T> try_as() const { return all().try_as<T>(); }
    failure why() const { return all().why(); }
    std::size_t size() const noexcept { return all().size(); }
    bool empty() const noexcept { return size() == 0; }

    /* As of value; borrowed. */
    using iterator = value::iterator;
    using const_iterator = iterator;
    std::string_view text() const & noexcept SENTINEL_HPP_BORROWED { return all().text(); }
    std::optional<std::string_view> text_if() const & noexcept SENTINEL_HPP_BORROWED { return all().text_if(); }
    std::string_view format() const & noexcept SENTINEL_HPP_BORROWED { return all().format(); }
    value operator[](std::size_t index) const & noexcept SENTINEL_HPP_BORROWED { return all()[index]; }
    value operator[](std::string_view key) const & noexcept SENTINEL_HPP_BORROWED { return all()[key]; }
    value at(std::size_t index) const & SENTINEL_HPP_BORROWED { return all().at(index); }
    iterator begin() const & noexcept SENTINEL_HPP_BORROWED { return all().begin(); }
    iterator end() const & noexcept SENTINEL_HPP_BORROWED { return all().end(); }
    pair_range pairs() const & noexcept SENTINEL_HPP_BORROWED { return all().pairs(); }
    std::optional<value> find(std::string_view key) const & noexcept SENTINEL_HPP_BORROWED { return all().find(key); }

    std::string_view text() const && = delete;
    std::optional<std::string_view> text_if() const && = delete;
    std::string_view format() const && = delete;
    value operator[](std::size_t index) const && = delete;
    value operator[](std::string_view key) const && = delete;
    value at(std::size_t index) const && = delete;
    iterator begin() const && = delete;
    iterator end() const && = delete;
    pair_range pairs() const && = delete;
    std::optional<value> find(std::string_view key) const && = delete;

private:
    struct freed {
        void operator()(sentinel_reply_t *object) const noexcept { sentinel_reply_free(object); }
    };

    value all() const noexcept { return value(owned_.get()); }

    std::unique_ptr<sentinel_reply_t, freed> owned_;
};

namespace detail {

/* The value that cannot be read, and what it was to be; of an error nothing. */
struct misfit {
    value of;
    const char *wanted = nullptr;
    bool is(value what, const char *no) noexcept {
        of = what, wanted = no;
        return false;
    }
    failure why() const;
    [[noreturn]] void raise() const;
};

/* Each is false, and tells why, where `of` is no such thing. */
bool read_text(value of, std::string &into, misfit &why);
bool read_truth(value of, bool &into, misfit &why);
/* An integer that a type with these limits holds, from its digits too. */
bool read_signed(value of, std::int64_t least, std::int64_t most, std::int64_t &into, misfit &why);
bool read_unsigned(value of, std::uint64_t most, std::uint64_t &into, misfit &why);
bool read_number(value of, float &into, misfit &why);
bool read_number(value of, double &into, misfit &why);
bool read_number(value of, long double &into, misfit &why);
bool is_list(value of) noexcept;
/* Whether it is an array of arrays of two. */
bool is_nested(value of) noexcept;
/* Whether pairs() is all of it. */
bool is_map_like(value of) noexcept;

template <class T> bool read(value of, T &into, misfit &why) {
    return of.is_error() ? why.is(of, nullptr) : reading<T>::into(of, into, why);
}

template <> struct reading<std::string> {
    static bool into(value of, std::string &text, misfit &why) { return read_text(of, text, why); }
};

template <> struct reading<bool> {
    static bool into(value of, bool &truth, misfit &why) { return read_truth(of, truth, why); }
};

template <class T> struct reading<T, std::enable_if_t<std::is_integral_v<T>>> {
    static bool into(value of, T &number, misfit &why) {
        using limits = std::numeric_limits<T>;
        static_assert(sizeof(T) <= sizeof(std::int64_t), "a reply has no integers of more than 64 bits");
        std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t> found{};
        if constexpr (std::is_signed_v<T>) {
            if (!read_signed(of, limits::min(), limits::max(), found, why))
                return false;
        } else if (!read_unsigned(of, limits::max(), found, why))
            return false;
        number = static_cast<T>(found);
        return true;
    }
};

template <class T> struct reading<T, std::enable_if_t<std::is_floating_point_v<T>>> {
    static bool into(value of, T &number, misfit &why) { return read_number(of, number, why); }
};

template <class T> struct reading<std::optional<T>> {
    static bool into(value of, std::optional<T> &some, misfit &why) {
        some.reset();
        return of.is_nil() || read(of, some.emplace(), why);
    }
};

template <class A, class B> struct reading<std::pair<A, B>> {
    static bool into(value of, std::pair<A, B> &both, misfit &why) {
        if (of.type() != type::array || of.size() != 2)
            return why.is(of, "pair");
        return read(of[0], both.first, why) && read(of[1], both.second, why);
    }
};

template <class T> struct is_pair : std::false_type {};
template <class A, class B> struct is_pair<std::pair<A, B>> : std::true_type {};
template <class T, class = void> struct is_map : std::false_type {};
template <class T> struct is_map<T, std::void_t<typename T::key_type, typename T::mapped_type>> : std::true_type {};

/* What takes elements at its end, or where they belong: a vector, list, deque, set, ... */
template <class T, class = void> struct is_list_of : std::false_type {};
template <class T>
struct is_list_of<T, std::void_t<decltype(std::declval<T &>().insert(std::declval<T &>().end(),
                                                                     std::declval<typename T::value_type>()))>>
    : std::bool_constant<!is_map<T>::value && !std::is_same_v<T, std::string>> {};

/* A list of pairs is what a map is, in its order and with what it has twice. */
template <class Key, class Element, class Each> bool read_pairs(value of, misfit &why, const Each &each) {
    if (!is_map_like(of))
        return why.is(of, "map");
    for (const auto &[left, right] : of.pairs()) {
        Key key{};
        Element element{};
        if (!read(left, key, why) || !read(right, element, why))
            return false;
        each(std::move(key), std::move(element));
    }
    return true;
}

template <class T> struct reading<T, std::enable_if_t<is_list_of<T>::value>> {
    static bool into(value of, T &all, misfit &why) {
        using type = typename T::value_type;
        if constexpr (is_pair<type>::value) {
            using first = bare<typename type::first_type>;
            using second = typename type::second_type;
            return read_pairs<first, second>(of, why, [&all](first &&key, second &&element) {
                all.insert(all.end(), type(std::move(key), std::move(element)));
            });
        } else {
            if (!is_list(of))
                return why.is(of, "list");
            for (const value element : of) {
                type one{};
                if (!read(element, one, why))
                    return false;
                all.insert(all.end(), std::move(one));
            }
            return true;
        }
    }
};

template <class T> struct reading<T, std::enable_if_t<is_map<T>::value>> {
    static bool into(value of, T &all, misfit &why) {
        using key_type = typename T::key_type;
        using mapped_type = typename T::mapped_type;
        return read_pairs<key_type, mapped_type>(of, why, [&all](key_type &&key, mapped_type &&element) {
            all.emplace(std::move(key), std::move(element));
        });
    }
};

} // namespace detail

inline pair_range::pair_range(value map) noexcept : map_(map), nested_(detail::is_nested(map)) {}

template <class T> T value::as() const {
    T found{};
    detail::misfit why;
    if (!detail::read(*this, found, why))
        why.raise();
    return found;
}

template <class T> result<T> value::try_as() const {
    T found{};
    detail::misfit why;
    if (!detail::read(*this, found, why))
        return why.why();
    return found;
}

} // namespace sentinel

#if defined(SENTINEL_HPP_DEFINITIONS)
#include <sentinel/reply_source.hpp>
#endif

#endif
