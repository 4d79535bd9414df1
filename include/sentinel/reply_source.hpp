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
    sentinel_error_t *error = sentinel_reply_failure(raw_);
    return failure(error != nullptr ? sentinel_error_status(error) : SENTINEL_ERR_INVALID_ARGUMENT, error);
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

SENTINEL_HPP_INLINE failure misfit::why() const {
    static constexpr const char *names[] = {"nil",   "status", "string", "integer",    "double", "boolean", "array",
                                            "map",   "set",    "text",   "big number", "push",   "error"};
    if (wanted == nullptr)
        return of.why();
    constexpr std::size_t shown = 40;
    const auto number = static_cast<std::size_t>(of.type());
    std::string text = number < std::size(names) ? names[number] : "value";
    if (const auto bytes = of.text_if())
        text += " \"" + std::string(bytes->substr(0, shown)) + (bytes->size() > shown ? "...\"" : "\"");
    else if (of.type() == type::integer)
        text += ' ' + std::to_string(of.integer());
    return failure(status::invalid_argument, "the " + text + " is no " + wanted);
}

SENTINEL_HPP_INLINE void misfit::raise() const {
#if defined(SENTINEL_HPP_EXCEPTIONS)
    if (wanted != nullptr)
        throw type_mismatch(why());
#endif
    why().raise();
}

SENTINEL_HPP_INLINE bool is_list(value of) noexcept {
    return of.type() == type::array || of.type() == type::set || of.type() == type::push;
}

SENTINEL_HPP_INLINE bool is_nested(value of) noexcept {
    if (of.type() != type::array || of.empty())
        return false;
    for (const value element : of)
        if (element.type() != type::array || element.size() != 2)
            return false;
    return true;
}

SENTINEL_HPP_INLINE bool is_map_like(value of) noexcept {
    return of.type() == type::map || (of.type() == type::array && of.size() % 2 == 0) || is_nested(of);
}

SENTINEL_HPP_INLINE bool read_text(value of, std::string &into, misfit &why) {
    const auto text = of.text_if();
    if (!text && of.type() != type::integer)
        return why.is(of, "string");
    into = text ? std::string(*text) : std::to_string(of.integer());
    return true;
}

SENTINEL_HPP_INLINE bool read_truth(value of, bool &into, misfit &why) {
    const std::string_view text = of.text();
    const bool is_number = of.type() == type::boolean || of.type() == type::integer;
    if (!is_number && !(of.type() == type::status && text == "OK") &&
        !(of.type() == type::string && (text == "1" || text == "0")))
        return why.is(of, "boolean");
    into = is_number ? of.integer() != 0 : text != "0";
    return true;
}

constexpr const char *of_this_size = "integer of this size";

/* Its own number, or that of its text. */
template <class T> bool read_integer(value of, T &number, misfit &why) {
    if (of.type() == type::integer || of.type() == type::boolean) {
        if (std::is_unsigned_v<T> && of.integer() < 0)
            return why.is(of, of_this_size);
        number = static_cast<T>(of.integer());
        return true;
    }
    const std::string_view text = of.text();
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (wrong == std::errc::result_out_of_range)
        return why.is(of, of_this_size);
    return (!text.empty() && wrong == std::errc() && end == text.data() + text.size()) || why.is(of, "integer");
}

SENTINEL_HPP_INLINE bool read_signed(value of, std::int64_t least, std::int64_t most, std::int64_t &into, misfit &why) {
    if (!read_integer(of, into, why))
        return false;
    return (into >= least && into <= most) || why.is(of, of_this_size);
}

SENTINEL_HPP_INLINE bool read_unsigned(value of, std::uint64_t most, std::uint64_t &into, misfit &why) {
    if (!read_integer(of, into, why))
        return false;
    return into <= most || why.is(of, of_this_size);
}

template <class T> bool read_floating(value of, T &into, misfit &why) {
    if (of.type() == type::floating || of.type() == type::integer) {
        into = of.type() == type::floating ? static_cast<T>(of.number()) : static_cast<T>(of.integer());
        return true;
    }
    const std::string_view text = of.text();
    if (text == "inf" || text == "+inf" || text == "-inf") {
        into = text[0] == '-' ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
        return true;
    }
    if (text == "nan" || text == "-nan") {
        into = std::numeric_limits<T>::quiet_NaN();
        return true;
    }
    std::istringstream stream{std::string(text)};
    stream.imbue(std::locale::classic()); // a point stays a point
    if (!(stream >> std::noskipws >> into) || stream.peek() != std::istringstream::traits_type::eof())
        return why.is(of, "floating point number");
    return true;
}

SENTINEL_HPP_INLINE bool read_number(value of, float &into, misfit &why) { return read_floating(of, into, why); }
SENTINEL_HPP_INLINE bool read_number(value of, double &into, misfit &why) { return read_floating(of, into, why); }
SENTINEL_HPP_INLINE bool read_number(value of, long double &into, misfit &why) { return read_floating(of, into, why); }

} // namespace detail

} // namespace sentinel

#endif
