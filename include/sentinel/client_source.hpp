/*
 * The definitions of <sentinel/client.hpp>, which includes it.
 */
#ifndef SENTINEL_CLIENT_SOURCE_HPP
#define SENTINEL_CLIENT_SOURCE_HPP

#include <sentinel/client.hpp>

namespace sentinel {

namespace detail {

inline std::optional<std::string_view> text_of(const char *text) noexcept {
    return text != nullptr ? std::optional<std::string_view>(text) : std::nullopt;
}

} // namespace detail

SENTINEL_HPP_INLINE std::string_view node::host() const noexcept {
    return detail::text_of(sentinel_nodes_host(list_, index_)).value_or("");
}

SENTINEL_HPP_INLINE std::string node::endpoint() const { return std::string(host()) + ':' + std::to_string(port()); }

SENTINEL_HPP_INLINE std::optional<std::string_view> node::field(std::string_view name) const {
    const result<std::string> text = detail::terminated(name, "name"); // no field has a NUL in its name
    return text ? detail::text_of(sentinel_nodes_field(list_, index_, text->c_str())) : std::nullopt;
}

SENTINEL_HPP_INLINE reply connection::command(const arguments &args, const call_options &options) {
    return try_command(args, options).value();
}

SENTINEL_HPP_INLINE result<reply> connection::try_command(const arguments &args, const call_options &options) {
    if (args.refused() != nullptr)
        return detail::not_sent(args.refused());
    const sentinel_call_t call = options.raw();
    detail::output<reply> to;
    return to.made(sentinel_connection_command(get(), args.size(), args.data(), args.lens(), &call, &to.object,
                                               &to.error));
}

SENTINEL_HPP_INLINE void connection::cancel() noexcept { static_cast<void>(sentinel_connection_cancel(get())); }

SENTINEL_HPP_INLINE void client::connect(std::chrono::milliseconds timeout) const { try_connect(timeout).value(); }

SENTINEL_HPP_INLINE result<void> client::try_connect(std::chrono::milliseconds timeout) const {
    detail::output<void> to;
    return to.done(sentinel_client_connect(get(), timeout.count(), &to.error));
}

SENTINEL_HPP_INLINE nodes client::node() const { return try_node().value(); }

SENTINEL_HPP_INLINE result<nodes> client::try_node() const {
    detail::output<nodes> to;
    return to.made(sentinel_client_node(get(), &to.object));
}

SENTINEL_HPP_INLINE reply client::command(const arguments &args, const call_options &options) const {
    return try_command(args, options).value();
}

SENTINEL_HPP_INLINE result<reply> client::try_command(const arguments &args, const call_options &options) const {
    if (args.refused() != nullptr)
        return detail::not_sent(args.refused());
    const sentinel_call_t call = options.raw();
    detail::output<reply> to;
    return to.made(sentinel_command(get(), args.size(), args.data(), args.lens(), &call, &to.object, &to.error));
}

SENTINEL_HPP_INLINE reply client::run(const batch &commands, const call_options &options) const {
    return try_run(commands, options).value();
}

SENTINEL_HPP_INLINE result<reply> client::try_run(const batch &commands, const call_options &options) const {
    const sentinel_call_t call = options.raw();
    detail::output<reply> to;
    return to.made(sentinel_batch_run(get(), commands.get(), &call, &to.object, &to.error));
}

SENTINEL_HPP_INLINE reply client::run(const script &script, const arguments &keys, const arguments &args,
                                      const call_options &options) const {
    return try_run(script, keys, args, options).value();
}

SENTINEL_HPP_INLINE result<reply> client::try_run(const script &script, const arguments &keys, const arguments &args,
                                                  const call_options &options) const {
    if (keys.refused() != nullptr || args.refused() != nullptr)
        return detail::not_sent(keys.refused() != nullptr ? keys.refused() : args.refused());
    arguments all;
    all.reserve(keys.size() + args.size());
    for (const arguments *some : {&keys, &args})
        for (std::size_t i = 0; i < some->size(); i++)
            all.add((*some)[i]);
    const sentinel_call_t call = options.raw();
    detail::output<reply> to;
    return to.made(sentinel_script_run(get(), script.get(), keys.size(), all.size(), all.data(), all.lens(), &call,
                                       &to.object, &to.error));
}

SENTINEL_HPP_INLINE connection client::acquire(std::chrono::milliseconds timeout) const {
    return try_acquire(timeout).value();
}

SENTINEL_HPP_INLINE result<connection> client::try_acquire(std::chrono::milliseconds timeout) const {
    detail::output<connection> to;
    return to.made(sentinel_client_acquire(get(), timeout.count(), &to.object, &to.error));
}

SENTINEL_HPP_INLINE int client::socket() const { return try_socket().value(); }

SENTINEL_HPP_INLINE result<int> client::try_socket() const {
    int fd = -1;
    sentinel_error_t *error = nullptr;
    const sentinel_status_t status = sentinel_client_socket(get(), &fd, &error);
    if (status < 0)
        return failure(status, error);
    return fd;
}

SENTINEL_HPP_INLINE void client::serve(int fd) const { try_serve(fd).value(); }

SENTINEL_HPP_INLINE result<void> client::try_serve(int fd) const {
    sentinel_error_t *error = nullptr;
    const sentinel_status_t status = sentinel_client_serve(get(), fd, &error);
    return detail::checked(status, error);
}

SENTINEL_HPP_INLINE std::uint64_t client::submit(const queue &to, const arguments &args, std::uint64_t tag,
                                                 const call_options &options) const {
    return try_submit(to, args, tag, options).value();
}

SENTINEL_HPP_INLINE result<std::uint64_t> client::try_submit(const queue &to, const arguments &args, std::uint64_t tag,
                                                             const call_options &options) const {
    if (args.refused() != nullptr)
        return detail::not_sent(args.refused());
    std::string data;
    for (std::size_t i = 0; i < args.size(); i++)
        data += args[i];
    const sentinel_call_t call = options.raw();
    detail::output<std::uint64_t> id;
    return id.made(sentinel_submit_queued(get(), args.size(), args.lens(), data.data(), data.size(), &call, to.get(),
                                          tag, &id.number, &id.error));
}

SENTINEL_HPP_INLINE std::uint64_t client::submit(const queue &to, const batch &commands, std::uint64_t tag,
                                                 const call_options &options) const {
    return try_submit(to, commands, tag, options).value();
}

SENTINEL_HPP_INLINE result<std::uint64_t> client::try_submit(const queue &to, const batch &commands, std::uint64_t tag,
                                                             const call_options &options) const {
    const sentinel_call_t call = options.raw();
    detail::output<std::uint64_t> id;
    return id.made(sentinel_submit_batch(get(), commands.get(), &call, to.get(), tag, &id.number, &id.error));
}

SENTINEL_HPP_INLINE void client::cancel(std::uint64_t call_id) const { try_cancel(call_id).value(); }

SENTINEL_HPP_INLINE result<void> client::try_cancel(std::uint64_t call_id) const {
    return detail::checked(sentinel_cancel(get(), call_id));
}

} // namespace sentinel

#endif
