/*
 * The definitions of <sentinel/scan.hpp>, which includes it.
 */
#ifndef SENTINEL_SCAN_SOURCE_HPP
#define SENTINEL_SCAN_SOURCE_HPP

#include <sentinel/scan.hpp>

namespace sentinel {

SENTINEL_HPP_INLINE result<scan> scan::try_make(const client &of, const arguments &args,
                                                const call_options &each_page) {
    if (args.refused() != nullptr)
        return detail::not_sent(args.refused());
    sentinel_scan_t *made = nullptr;
    sentinel_error_t *error = nullptr;
    const sentinel_status_t status =
        sentinel_scan_new(of.get(), args.size(), args.data(), args.lens(), &made, &error);
    if (status < 0)
        return failure(status, error);
    return scan(made, each_page);
}

SENTINEL_HPP_INLINE page scan::next() { return try_next().value(); }

SENTINEL_HPP_INLINE result<page> scan::try_next() {
    const sentinel_call_t call = each_page_.raw();
    sentinel_reply_t *found = nullptr;
    sentinel_error_t *error = nullptr;
    const sentinel_status_t status = sentinel_scan_next(get(), &call, &found, &error);
    if (status < 0)
        return failure(status, error);
    return status == SENTINEL_EMPTY ? page() : page(std::in_place, found);
}

SENTINEL_HPP_INLINE void scan::restart() noexcept {
    sentinel_scan_restart(get());
    page_ = reply();
    index_ = 0;
}

SENTINEL_HPP_INLINE bool scan::has_more() {
    while (index_ >= page_.size()) {
        page more = next(); // when it throws, the old page stays used up
        index_ = 0;
        page_ = more ? std::move(more).operator*() : reply();
        if (!more)
            return false;
    }
    return true;
}

} // namespace sentinel

#endif
