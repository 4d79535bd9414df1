/*
 * The definitions of <sentinel/reply.hpp>, which includes it.
 */
#ifndef SENTINEL_REPLY_SOURCE_HPP
#define SENTINEL_REPLY_SOURCE_HPP

#include <sentinel/reply.hpp>

#include <charconv>
#include <locale>
#include <sstream>
#include <system_error>

namespace sentinel {

SENTINEL_HPP_INLINE std::optional<std::string_view> value::text_if() const noexcept {
    std::size_t len = 0;
    const char *data = sentinel_reply_data(raw_, &len);
    return data != nullptr ? std::optional<std::string_view>(std::in_place, data, len) : std::nullopt;
}

SENTINEL_HPP_INLINE std::string_view value::format() const noexcept {
    const char *format = sentinel_reply_verbatim_format(raw_);
    return format != nullptr ? std::string_view(format, 3) : std::string_view();
}

SENTINEL_HPP_INLINE failure value::why() const {
    const std::string_view code = text().substr(0, text().find(' '));
    const bool cut = code == "NOTSENT" || code == "UNKNOWN"; // the words of sentinel_batch_run, no server's
    return failure(cut ? status::connection_lost : status::server, str());
}

SENTINEL_HPP_INLINE std::size_t value::size() const noexcept {
    const std::size_t len = sentinel_reply_len(raw_);
    return type() == type::map ? 2 * len : len;
}

SENTINEL_HPP_INLINE value value::at(std::size_t index) const {
    if (index >= size()) {
        const std::string text = "a reply of " + std::to_string(size()) + " has no element " + std::to_string(index);
        failure(status::invalid_argument, text).raise();
    }
    return (*this)[index];
}

SENTINEL_HPP_INLINE std::optional<value> value::find(std::string_view key) const noexcept {
    const sentinel_reply_t *found = sentinel_reply_get(raw_, key.data(), key.size());
    return found != nullptr ? std::optional<value>(std::in_place, found) : std::nullopt;
}

namespace detail {

SENTINEL_HPP_INLINE void mismatch(value of, const char *wanted) {
    const auto number = std::to_string(static_cast<std::int32_t>(of.type()));
    const failure why(status::invalid_argument, "a value of type " + number + " is no " + wanted);
#if defined(SENTINEL_HPP_EXCEPTIONS)
    throw type_mismatch(why);
#else
    why.raise();
#endif
}

SENTINEL_HPP_INLINE bool is_list(value of) noexcept {
    return of.type() == type::array || of.type() == type::set || of.type() == type::push;
}

SENTINEL_HPP_INLINE std::string read_text(value of) {
    const auto text = of.text_if();
    if (!text && of.type() != type::integer)
        mismatch(of, "string");
    return text ? std::string(*text) : std::to_string(of.integer());
}

SENTINEL_HPP_INLINE bool read_truth(value of) {
    if (of.type() != type::boolean && of.type() != type::integer)
        mismatch(of, "boolean");
    return of.integer() != 0;
}

/* Whether `of` is an integer; otherwise its text is one, and goes into `number`. */
template <class T> bool read_integer(value of, T &number) {
    if (of.type() == type::integer || of.type() == type::boolean)
        return true;
    const std::string_view text = of.text();
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || wrong != std::errc() || end != text.data() + text.size())
        mismatch(of, "integer of this size");
    return false;
}

SENTINEL_HPP_INLINE std::int64_t read_signed(value of, std::int64_t least, std::int64_t most) {
    std::int64_t number = 0;
    if (read_integer(of, number))
        number = of.integer();
    if (number < least || number > most)
        mismatch(of, "integer of this size");
    return number;
}

SENTINEL_HPP_INLINE std::uint64_t read_unsigned(value of, std::uint64_t most) {
    std::uint64_t number = 0;
    if (read_integer(of, number)) {
        if (of.integer() < 0)
            mismatch(of, "integer of this size");
        number = static_cast<std::uint64_t>(of.integer());
    }
    if (number > most)
        mismatch(of, "integer of this size");
    return number;
}

template <class T> T read_floating(value of) {
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

SENTINEL_HPP_INLINE void read_number(value of, float &number) { number = read_floating<float>(of); }
SENTINEL_HPP_INLINE void read_number(value of, double &number) { number = read_floating<double>(of); }
SENTINEL_HPP_INLINE void read_number(value of, long double &number) { number = read_floating<long double>(of); }

} // namespace detail

} // namespace sentinel

#endif
