/*
 * A value, or why there is none: result. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_RESULT_HPP
#define SENTINEL_RESULT_HPP

#include <sentinel/error.hpp>

#include <array>
#include <type_traits>
#include <utility>

namespace sentinel {

template <class T> class result;
class value;
class pair_range;
class node;

namespace detail {

[[noreturn]] void no_failure();

template <class T> struct is_result : std::false_type {};
template <class T> struct is_result<result<T>> : std::true_type {};

template <class T> using bare = std::remove_cv_t<std::remove_reference_t<T>>;

/* What is borrowed from an owner. */
template <class T> struct is_borrowed : std::false_type {};
template <> struct is_borrowed<std::string_view> : std::true_type {};
template <> struct is_borrowed<value> : std::true_type {};
template <> struct is_borrowed<pair_range> : std::true_type {};
template <> struct is_borrowed<node> : std::true_type {};
/* And what has some: an optional, a pair, a vector, a result, an iterator. */
template <template <class...> class Of, class... T>
struct is_borrowed<Of<T...>> : std::disjunction<is_borrowed<bare<T>>...> {};
template <class T, std::size_t N> struct is_borrowed<std::array<T, N>> : is_borrowed<bare<T>> {};

/* Whether a To out of a From that is a temporary has what it is borrowed from. */
template <class From, class To>
inline constexpr bool outlives = std::is_lvalue_reference_v<From> || !is_borrowed<To>::value ||
                                 is_borrowed<typename bare<From>::value_type>::value;

/* `next` of the value of `from`, which has one. */
template <class From, class Next> decltype(auto) continued(From &&from, Next &&next) {
    if constexpr (std::is_void_v<typename bare<From>::value_type>)
        return std::forward<Next>(next)();
    else
        return std::forward<Next>(next)(std::forward<From>(from).value());
}

template <class From, class Next> auto and_then(From &&from, Next &&next) {
    using to = bare<decltype(continued(std::forward<From>(from), std::forward<Next>(next)))>;
    static_assert(is_result<to>::value, "and_then() takes a function that returns a sentinel::result");
    static_assert(outlives<From, to>, "what is borrowed from the value of a temporary result is gone with it");
    if constexpr (is_result<to>::value) {
        if (from.ok())
            return to(continued(std::forward<From>(from), std::forward<Next>(next)));
        return to(std::forward<From>(from).error());
    }
}

template <class From, class Next> auto transform(From &&from, Next &&next) {
    using to = bare<decltype(continued(std::forward<From>(from), std::forward<Next>(next)))>;
    static_assert(outlives<From, to>, "what is borrowed from the value of a temporary result is gone with it");
    if (!from.ok())
        return result<to>(std::forward<From>(from).error());
    if constexpr (std::is_void_v<to>)
        return continued(std::forward<From>(from), std::forward<Next>(next)), result<to>();
    else
        return result<to>(std::in_place, continued(std::forward<From>(from), std::forward<Next>(next)));
}

template <class From, class Next> bare<From> or_else(From &&from, Next &&next) {
    if (from.ok())
        return std::forward<From>(from);
    return std::forward<Next>(next)(std::forward<From>(from).error());
}

template <class From, class Next> bare<From> transform_error(From &&from, Next &&next) {
    if (from.ok())
        return std::forward<From>(from);
    return failure(std::forward<Next>(next)(std::forward<From>(from).error()));
}

/* The functions of a result that go on with its value, or its failure. */
template <class Result> class steps {
public:
    /** What `next(value)` returns, a result; of a failure the same failure, and `next` is not called. */
    template <class Next> auto and_then(Next &&next) & { return detail::and_then(self(), std::forward<Next>(next)); }
    template <class Next> auto and_then(Next &&next) const & {
        return detail::and_then(self(), std::forward<Next>(next));
    }
    template <class Next> auto and_then(Next &&next) && {
        return detail::and_then(std::move(self()), std::forward<Next>(next));
    }
    /** A result of what `next(value)` returns; of a failure the same failure, and `next` is not called. */
    template <class Next> auto transform(Next &&next) & { return detail::transform(self(), std::forward<Next>(next)); }
    template <class Next> auto transform(Next &&next) const & {
        return detail::transform(self(), std::forward<Next>(next));
    }
    template <class Next> auto transform(Next &&next) && {
        return detail::transform(std::move(self()), std::forward<Next>(next));
    }
    /** What `next(failure)` returns, a result of the same type; of a value the same value. */
    template <class Next> Result or_else(Next &&next) const & {
        return detail::or_else(self(), std::forward<Next>(next));
    }
    template <class Next> Result or_else(Next &&next) && {
        return detail::or_else(std::move(self()), std::forward<Next>(next));
    }
    /** The same with another failure in place of the one it holds, `next(failure)`. */
    template <class Next> Result transform_error(Next &&next) const & {
        return detail::transform_error(self(), std::forward<Next>(next));
    }
    template <class Next> Result transform_error(Next &&next) && {
        return detail::transform_error(std::move(self()), std::forward<Next>(next));
    }

private:
    Result &self() { return static_cast<Result &>(*this); }
    const Result &self() const { return static_cast<const Result &>(*this); }
};

} // namespace detail

/**
 * A value, or why there is none: what std::expected<T, failure> is, and its functions, for C++17.
 *
 * Other than there, nothing is undefined: `*`, `->` and value() throw the exception of the failure where there is no
 * value, and error() a usage_error where there is no failure. Of a result that nobody keeps the value is moved out, and
 * `->`, whose value would be gone at the end of the line, does not compile.
 */
template <class T> class [[nodiscard]] result : public detail::steps<result<T>> {
    static_assert(!std::is_reference_v<T> && !std::is_same_v<T, failure>, "a result holds a value, or a failure");

public:
    using value_type = T;
    using error_type = failure;

    result(T value) : value_(std::move(value)) {}
    result(failure why) : why_(std::move(why)) {}
    template <class... Args>
    explicit result(std::in_place_t, Args &&...args) : value_(std::in_place, std::forward<Args>(args)...) {}

    bool ok() const noexcept { return value_.has_value(); }
    bool has_value() const noexcept { return ok(); }
    explicit operator bool() const noexcept { return ok(); }

    /** The value; throws the exception of the failure when there is none. */
    T &value() & SENTINEL_HPP_BORROWED { return check(), *value_; }
    const T &value() const & SENTINEL_HPP_BORROWED { return check(), *value_; }
    T value() && { return check(), *std::move(value_); }
    void value() const && = delete;
    T &operator*() & SENTINEL_HPP_BORROWED { return value(); }
    const T &operator*() const & SENTINEL_HPP_BORROWED { return value(); }
    T operator*() && { return std::move(*this).value(); }
    void operator*() const && = delete;
    T *operator->() & SENTINEL_HPP_BORROWED { return &value(); }
    const T *operator->() const & SENTINEL_HPP_BORROWED { return &value(); }
    /** Keep the result, or take the value out: `result.value().str()`. */
    T *operator->() const && = delete;

    /** The value, or `other` where there is none. */
    template <class U> T value_or(U &&other) const & {
        return value_ ? *value_ : static_cast<T>(std::forward<U>(other));
    }
    template <class U> T value_or(U &&other) && {
        return value_ ? *std::move(value_) : static_cast<T>(std::forward<U>(other));
    }

    /** The failure; throws usage_error when there is none. */
    const failure &error() const & SENTINEL_HPP_BORROWED { return check_failed(), *why_; }
    failure error() && { return check_failed(), *std::move(why_); }
    void error() const && = delete;
    /** The failure, or `other` where there is none. */
    failure error_or(failure other) const { return why_ ? *why_ : std::move(other); }

private:
    void check() const {
        if (!value_)
            why_->raise();
    }
    void check_failed() const {
        if (!why_)
            detail::no_failure();
    }

    std::optional<T> value_; // or
    std::optional<failure> why_;
};

/** Success, or why there is none. */
template <> class [[nodiscard]] result<void> : public detail::steps<result<void>> {
public:
    using value_type = void;
    using error_type = failure;

    result() = default;
    result(failure why) : why_(std::move(why)) {}

    bool ok() const noexcept { return !why_.has_value(); }
    bool has_value() const noexcept { return ok(); }
    explicit operator bool() const noexcept { return ok(); }

    /** Throws the exception of the failure, if there is one. */
    void value() const {
        if (why_)
            why_->raise();
    }
    void operator*() const { value(); }

    /** The failure; throws usage_error when there is none. */
    const failure &error() const & SENTINEL_HPP_BORROWED { return check_failed(), *why_; }
    failure error() && { return check_failed(), *std::move(why_); }
    void error() const && = delete;
    /** The failure, or `other` where there is none. */
    failure error_or(failure other) const { return why_ ? *why_ : std::move(other); }

private:
    void check_failed() const {
        if (!why_)
            detail::no_failure();
    }

    std::optional<failure> why_;
};

namespace detail {

/* Owns one object of the C library. */
template <class T, void (*Free)(T *)> class handle {
public:
    /** Takes over an object of the C library; NULL for a handle without one. */
    explicit handle(T *owned) noexcept : owned_(owned) {}

    /** The object, for the functions of sentinel.h; it stays with the handle. */
    T *get() const & noexcept SENTINEL_HPP_BORROWED { return owned_.get(); }
    T *get() const && = delete;

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

/* Success, or the failure that a call reports, whose error it takes over. */
result<void> checked(sentinel_status_t status, sentinel_error_t *error = nullptr);

/* The failure of a call that is not made, for what it was given. `why` is static. */
failure not_sent(const char *why);

/* Where a call of C puts what it makes, a Handle, and its error: `to.made(call(..., &to.object, &to.error))`. */
template <class Handle> struct output {
    std::remove_pointer_t<decltype(std::declval<const Handle &>().get())> *object = nullptr;
    sentinel_error_t *error = nullptr;

    result<Handle> made(sentinel_status_t status) const {
        if (status < 0)
            return failure(status, error);
        return Handle(object);
    }
};

/* The same for a call that makes nothing. */
template <> struct output<void> {
    sentinel_error_t *error = nullptr;

    result<void> done(sentinel_status_t status) const { return checked(status, error); }
};

/* The same for a call that makes a number. */
template <> struct output<std::uint64_t> {
    std::uint64_t number = 0;
    sentinel_error_t *error = nullptr;

    result<std::uint64_t> made(sentinel_status_t status) const;
};

} // namespace detail

/**
 * A text that is given: what converts to std::string_view, borrowed for the call.
 *
 * A null pointer, as std::getenv gives one, is none: the call fails with null_argument.
 */
class given_text {
public:
    /** An empty one. */
    given_text() = default;
    template <class T, std::enable_if_t<std::is_convertible_v<const T &, std::string_view>, int> = 0>
    given_text(const T &text) {
        if constexpr (std::is_convertible_v<const T &, const char *>) {
            const char *begin = text;
            is_null_ = begin == nullptr;
            if (is_null_)
                return;
        }
        text_ = text;
    }
    given_text(std::nullptr_t) = delete;

    std::string_view view() const noexcept { return text_; }
    bool is_null() const noexcept { return is_null_; }

private:
    std::string_view text_;
    bool is_null_ = false;
};

namespace detail {

/* Whether there is a text at all; `name` is that of the parameter. */
result<std::string_view> some(const given_text &text, std::string_view name);

/* The same for a parameter that ends with NUL; one inside would cut it short unseen. */
result<std::string> terminated(const given_text &text, std::string_view name);

} // namespace detail

} // namespace sentinel

#if defined(SENTINEL_HPP_DEFINITIONS)
#include <sentinel/result_source.hpp>
#endif

#endif
