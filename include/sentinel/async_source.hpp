/*
 * The definitions of <sentinel/async.hpp>, which includes it.
 */
#ifndef SENTINEL_ASYNC_SOURCE_HPP
#define SENTINEL_ASYNC_SOURCE_HPP

#include <sentinel/async.hpp>

#include <algorithm>

namespace sentinel {

namespace detail {

SENTINEL_HPP_INLINE result<reply> taken(sentinel_completion_t &entry) {
    if (entry.status >= 0)
        return reply(std::exchange(entry.reply, nullptr));
    return failure(entry.status, std::exchange(entry.error, nullptr));
}

SENTINEL_HPP_INLINE result<std::uint64_t> submitted(sentinel_client_t *client, const arguments &args,
                                                    const call_options &options, sentinel_done_fn done,
                                                    void *user_data) {
    if (args.refused() != nullptr)
        return not_sent(args.refused());
    const sentinel_call_t call = options.raw();
    output<std::uint64_t> to;
    return to.made(sentinel_submit(client, args.size(), args.data(), args.lens(), &call, done, user_data, &to.number,
                                   &to.error));
}

} // namespace detail

SENTINEL_HPP_INLINE std::vector<completion> queue::poll(std::size_t max_entries,
                                                        std::chrono::milliseconds timeout) const {
    return try_poll(max_entries, timeout).value();
}

SENTINEL_HPP_INLINE result<std::vector<completion>> queue::try_poll(std::size_t max_entries,
                                                                    std::chrono::milliseconds timeout) const {
    constexpr std::size_t at_once = 64;
    sentinel_completion_t entries[at_once];
    std::vector<completion> taken;
    std::size_t room = 0, count = 0;
    do {
        room = std::min(max_entries - taken.size(), at_once);
        if (taken.capacity() - taken.size() < room) // before anything is owned that an exception would lose
            taken.reserve(std::max(taken.size() + room, 2 * taken.size()));
        count = 0;
        const auto polled = detail::checked(sentinel_queue_poll(get(), entries, sizeof(sentinel_completion_t), room,
                                                                taken.empty() ? timeout.count() : 0, &count));
        if (!polled && taken.empty())
            return polled.error(); // otherwise the next poll tells it
        for (std::size_t i = 0; i < count; i++)
            taken.push_back({entries[i].tag, static_cast<completion_kind>(entries[i].kind), detail::taken(entries[i])});
    } while (count == at_once);
    return taken;
}

SENTINEL_HPP_INLINE void queue::wake() const { detail::checked(sentinel_queue_wake(get())).value(); }

} // namespace sentinel

#endif
