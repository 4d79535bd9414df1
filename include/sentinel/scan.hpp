/*
 * A walk through the keys of a node, or the elements of a key: scan. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_SCAN_HPP
#define SENTINEL_SCAN_HPP

#include <sentinel/client.hpp>

namespace sentinel {

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
        : handle(detail::made<handle>([&](auto **out, auto **error) {
              return sentinel_scan_new(of.get(), args.size(), args.data(), args.lens(), out, error);
          }).value()),
          each_page_(each_page) {}

    /** The next page, an array which may be empty; nothing at the end. Use pages or elements, not both. */
    std::optional<reply> next() { return try_next().value(); }
    result<std::optional<reply>> try_next() {
        const sentinel_call_t call = each_page_.raw();
        sentinel_reply_t *page = nullptr;
        sentinel_error_t *error = nullptr;
        const sentinel_status_t status = sentinel_scan_next(get(), &call, &page, &error);
        if (status < 0)
            return failure(status, error);
        return status == SENTINEL_EMPTY ? std::optional<reply>() : std::optional<reply>(std::in_place, page);
    }

    /**
     * The elements of all pages, each borrowed until the iterator goes on.
     *
     * To begin and to go on ask for pages, and throw as next() does. A range to be walked once: begin() goes on at the
     * element at which a loop was left.
     */
    iterator begin() { return iterator(this); }
    iterator end() noexcept { return {}; }
    /** The same two by two: field and value of `HSCAN`, member and score of `ZSCAN`. */
    walk<pair_iterator> pairs() & noexcept { return walk<pair_iterator>(this); }
    walk<pair_iterator> pairs() && = delete;

    /** Back to the beginning, on whatever node serves the client then. Does no I/O. */
    void restart() noexcept {
        sentinel_scan_restart(get());
        page_ = reply();
        index_ = 0;
    }

private:
    /* Whether there is an element at hand, for which pages are asked for until one has some. */
    bool has_more() {
        while (index_ >= page_.size()) {
            std::optional<reply> page = next(); // when it throws, the old page stays used up
            index_ = 0;
            page_ = page ? std::move(*page) : reply();
            if (!page)
                return false;
        }
        return true;
    }

    call_options each_page_;
    reply page_;
    std::size_t index_ = 0;
};

} // namespace sentinel

#endif
