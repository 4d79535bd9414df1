/*
 * What client::async and client::try_async give. Included by <sentinel.hpp>, but with SENTINEL_HPP_SEPARATE by who uses
 * them.
 */
#ifndef SENTINEL_FUTURE_HPP
#define SENTINEL_FUTURE_HPP

#include <sentinel/async.hpp>

#include <future>

namespace sentinel {

namespace detail {

template <> struct future_of<result<reply>> {
    using type = std::future<result<reply>>;

    static type submit(sentinel_client_t *client, const arguments &args, const call_options &options) {
        auto promise = std::make_shared<std::promise<result<reply>>>();
        type future = promise->get_future();
        auto done = [promise](result<reply> answer) { promise->set_value(std::move(answer)); };
        auto id = waiting<decltype(done)>::submit(client, args, options, done);
        if (!id)
            promise->set_value(std::move(id).error());
        return future;
    }
};

#if defined(SENTINEL_HPP_EXCEPTIONS)

template <> struct future_of<reply> {
    using type = std::future<reply>;

    static type submit(sentinel_client_t *client, const arguments &args, const call_options &options) {
        auto promise = std::make_shared<std::promise<reply>>();
        type future = promise->get_future();
        auto done = [promise](result<reply> answer) {
            if (answer)
                promise->set_value(std::move(answer).value());
            else
                promise->set_exception(answer.error().exception());
        };
        const auto id = waiting<decltype(done)>::submit(client, args, options, done);
        if (!id)
            promise->set_exception(id.error().exception());
        return future;
    }
};

#endif

} // namespace detail

} // namespace sentinel

#endif
