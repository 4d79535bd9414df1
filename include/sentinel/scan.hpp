/*
 * A walk through the keys of a node, or the elements of a key: scan. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_SCAN_HPP
#define SENTINEL_SCAN_HPP

#include <sentinel/client.hpp>

namespace sentinel {

/** What scan::next gives: a std::optional<reply> of which nothing is borrowed that would not outlive the line. */
class page : public std::optional<reply> {
    /* Whether nothing that `Next` makes of a reply is borrowed from it. */
    template <class Next>
    static constexpr bool copies = !detail::is_borrowed<detail::bare<std::invoke_result_t<Next, reply>>>::value;

public:
    using optional::optional;

    reply &operator*() & noexcept SENTINEL_HPP_BORROWED { return optional::operator*(); }
    const reply &operator*() const & noexcept SENTINEL_HPP_BORROWED { return optional::operator*(); }
    reply operator*() && { return std::move(*this).optional::operator*(); }
    void operator*() const && = delete;
    reply &value() & SENTINEL_HPP_BORROWED { return optional::value(); }
    const reply &value() const & SENTINEL_HPP_BORROWED { return optional::value(); }
    reply value() && { return std::move(*this).optional::value(); }
    void value() const && = delete;
    reply *operator->() & noexcept SENTINEL_HPP_BORROWED { return optional::operator->(); }
    const reply *operator->() const & noexcept SENTINEL_HPP_BORROWED { return optional::operator->(); }
    const reply *operator->() const && = delete;

#if defined(__cpp_lib_optional) && __cpp_lib_optional >= 202110L
    template <class Next> auto transform(Next &&next) & { return optional::transform(std::forward<Next>(next)); }
    template <class Next> auto transform(Next &&next) const & { return optional::transform(std::forward<Next>(next)); }
    template <class Next, std::enable_if_t<copies<Next>, int> = 0> auto transform(Next &&next) && {
        return std::move(*this).optional::transform(std::forward<Next>(next));
    }
    template <class Next, std::enable_if_t<!copies<Next>, int> = 0> void transform(Next &&next) && = delete;
    template <class Next> void transform(Next &&next) const && = delete;
    template <class Next> auto and_then(Next &&next) & { return optional::and_then(std::forward<Next>(next)); }
    template <class Next> auto and_then(Next &&next) const & { return optional::and_then(std::forward<Next>(next)); }
    template <class Next, std::enable_if_t<copies<Next>, int> = 0> auto and_then(Next &&next) && {
        return std::move(*this).optional::and_then(std::forward<Next>(next));
    }
    template <class Next, std::enable_if_t<!copies<Next>, int> = 0> void and_then(Next &&next) && = delete;
    template <class Next> void and_then(Next &&next) const && = delete;
#endif
};

/**
 * `SCAN`, or `HSCAN`, `SSCAN` or `ZSCAN` with the key, as a range: `for (const auto key : scan(client, {"SCAN"}))`.
 *
 * What is there all the time is given at least once, perhaps more than once. A scan stays on the node it began on; when
 * that is gone it throws a usage_error of status::wrong_state, and restart() begins anew. After any other failure it is
 * asked again for what it failed to give. It may outlive its client. One thread at a time.
 */
class scan : public detail::handle<sentinel_scan_t, sentinel_scan_free> {
    /* Walks on in its scan, `Step` elements a time: all iterators of a scan stand at the same place. */
    template <class Element, std::size_t Step> class walking {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Element;
        using difference_type = std::ptrdiff_t;
        using reference = Element;
        using pointer = void;

        walking() = default;
        explicit walking(scan *of) : of_(of->has_more() ? of : nullptr) {}

        Element operator*() const {
            if constexpr (Step == 1)
                return of_->page_[of_->index_];
            else
                return {of_->page_[of_->index_], of_->page_[of_->index_ + 1]};
        }
        walking &operator++() {
            of_->index_ += Step;
            if (!of_->has_more())
                of_ = nullptr;
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const walking &a, const walking &b) noexcept { return a.of_ == b.of_; }
        friend bool operator!=(const walking &a, const walking &b) noexcept { return a.of_ != b.of_; }

    private:
        scan *of_ = nullptr;
    };

    template <class Iterator> class walk {
    public:
        explicit walk(scan *of) noexcept : of_(of) {}
        Iterator begin() const { return Iterator(of_); }
        Iterator end() const noexcept { return {}; }

    private:
        scan *of_;
    };

public:
    using iterator = walking<value, 1>;
    using pair_iterator = walking<std::pair<value, value>, 2>;

    /** The command without a cursor, `{"SCAN", "MATCH", "user:*"}`; `each_page`: how each page is asked for. No I/O. */
    scan(const client &of, const arguments &args, const call_options &each_page = {})
        : scan(try_make(of, args, each_page).value()) {}
    static result<scan> try_make(const client &of, const arguments &args, const call_options &each_page = {});

    /** The next page, an array which may be empty; nothing at the end. Use pages or elements, not both. */
    page next();
    result<page> try_next();

    /**
     * The elements of all pages, each borrowed until the iterator goes on.
     *
     * To begin and to go on ask for pages, and throw as next() does. A range to be walked once: begin() goes on at the
     * element at which a loop was left.
     */
    iterator begin() & SENTINEL_HPP_BORROWED { return iterator(this); }
    iterator end() & noexcept { return {}; }
    iterator begin() && = delete;
    iterator end() && = delete;
    /** The same two by two: field and value of `HSCAN`, member and score of `ZSCAN`. */
    walk<pair_iterator> pairs() & noexcept SENTINEL_HPP_BORROWED { return walk<pair_iterator>(this); }
    walk<pair_iterator> pairs() && = delete;

    /** Back to the beginning, on whatever node serves the client then. Does no I/O. */
    void restart() noexcept;

private:
    scan(sentinel_scan_t *owned, const call_options &each_page) noexcept : handle(owned), each_page_(each_page) {}

    /* Whether there is an element at hand, for which pages are asked for until one has some. */
    bool has_more();

    call_options each_page_;
    reply page_;
    std::size_t index_ = 0;
};

} // namespace sentinel

#if defined(SENTINEL_HPP_DEFINITIONS)
#include <sentinel/scan_source.hpp>
#endif

#endif
