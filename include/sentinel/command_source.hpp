/*
 * The definitions of <sentinel/command.hpp>, which includes it.
 */
#ifndef SENTINEL_COMMAND_SOURCE_HPP
#define SENTINEL_COMMAND_SOURCE_HPP

#include <sentinel/command.hpp>

#include <charconv>
#include <locale>
#include <sstream>

namespace sentinel {

namespace detail {

template <class T> std::size_t digits_of(char *into, T number) {
#if !defined(__cpp_lib_to_chars) // a standard library that has it for integers only
    if constexpr (std::is_floating_point_v<T>) {
        std::ostringstream stream;
        stream.imbue(std::locale::classic());
        stream.precision(std::numeric_limits<T>::max_digits10);
        stream << number;
        return stream.str().copy(into, digits_at_most);
    } else
#endif
        return static_cast<std::size_t>(std::to_chars(into, into + digits_at_most, number).ptr - into);
}

SENTINEL_HPP_INLINE std::size_t digits(char *into, std::int64_t number) { return digits_of(into, number); }
SENTINEL_HPP_INLINE std::size_t digits(char *into, std::uint64_t number) { return digits_of(into, number); }
SENTINEL_HPP_INLINE std::size_t digits(char *into, float number) { return digits_of(into, number); }
SENTINEL_HPP_INLINE std::size_t digits(char *into, double number) { return digits_of(into, number); }
SENTINEL_HPP_INLINE std::size_t digits(char *into, long double number) { return digits_of(into, number); }

} // namespace detail

SENTINEL_HPP_INLINE void argument::own(std::string &&text) {
    const auto kept = std::make_shared<const std::string>(std::move(text));
    text_ = *kept;
    kept_ = kept;
}

SENTINEL_HPP_INLINE void arguments::append(const argument &one) {
    std::string_view text = one.text();
    if (one.is_number()) {
        const auto kept = std::make_shared<const std::string>(text);
        text = *kept;
        kept_.push_back(kept);
    } else if (one.kept_) {
        kept_.push_back(one.kept_);
    }
    if (one.add_to_ != nullptr) {
        one.add_to_(*this, one.several_);
        return;
    }
    if (one.refused_ != nullptr) {
        refused_ = one.refused_;
        data_.push_back(nullptr); // with a length, which C takes for a mistake
        lens_.push_back(1);
        return;
    }
    // An empty view may have no address, which C takes for a mistake when it is in a list.
    data_.push_back(text.data() != nullptr ? text.data() : "");
    lens_.push_back(text.size());
}

SENTINEL_HPP_INLINE batch::batch(batch_kind kind) : handle(sentinel_batch_new(static_cast<std::int32_t>(kind))) {
    if (get() == nullptr)
        detail::not_sent("no such kind of batch").raise();
}

SENTINEL_HPP_INLINE batch &batch::add(const arguments &args) & {
    try_add(args).value();
    return *this;
}

SENTINEL_HPP_INLINE result<void> batch::try_add(const arguments &args) {
    if (args.refused() != nullptr)
        return detail::not_sent(args.refused());
    const auto status = sentinel_batch_add(get(), args.size(), args.data(), args.lens());
    return detail::checked(status, status != SENTINEL_OK ? sentinel_batch_refusal(get()) : nullptr);
}

SENTINEL_HPP_INLINE script::script(const given_text &source, script_kind kind)
    : handle(sentinel_script_new(source.view().data(), source.view().size(), static_cast<std::uint32_t>(kind))) {
    detail::some(source, "source").value();
    if (get() == nullptr)
        detail::not_sent("no such kind of script").raise();
}

SENTINEL_HPP_INLINE std::string_view script::sha1() const & noexcept {
    const char *digits = sentinel_script_sha1(get());
    return digits != nullptr ? std::string_view(digits) : std::string_view();
}

} // namespace sentinel

#endif
