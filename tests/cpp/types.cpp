/*
 * compile only: what moves, copies, converts and iterates, and what must not compile.
 */
#include "check.hpp"

#include <iterator>
#include <map>
#include <type_traits>
#include <vector>

template <class T>
constexpr bool moves_only = std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
                            !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
                            std::is_nothrow_destructible_v<T>;

static_assert(moves_only<sentinel::options> && moves_only<sentinel::deployment> && moves_only<sentinel::client>);
static_assert(moves_only<sentinel::connection> && moves_only<sentinel::batch> && moves_only<sentinel::reply>);
static_assert(moves_only<sentinel::nodes> && moves_only<sentinel::queue> && moves_only<sentinel::subscription>);
static_assert(moves_only<sentinel::script> && moves_only<sentinel::scan>);
static_assert(std::is_nothrow_move_constructible_v<sentinel::result<sentinel::reply>>);
static_assert(std::is_nothrow_copy_constructible_v<sentinel::error>, "exceptions are copied");
static_assert(std::is_trivially_copyable_v<sentinel::value> && sizeof(sentinel::value) == sizeof(void *));
static_assert(sizeof(sentinel::client) == sizeof(void *), "an owner costs no more than its pointer");

static_assert(std::is_base_of_v<std::runtime_error, sentinel::error>);
static_assert(std::is_base_of_v<sentinel::connection_error, sentinel::primary_not_found>);
static_assert(std::is_base_of_v<sentinel::connection_error, sentinel::replica_not_found>);
static_assert(std::is_base_of_v<sentinel::connection_error, sentinel::timeout>);
static_assert(!std::is_base_of_v<sentinel::connection_error, sentinel::server_error>);

// Arguments: texts and numbers; nothing that says neither.
template <class... Ts> constexpr bool are_arguments = (sentinel::is_argument_v<Ts> && ...);
template <class... Ts> constexpr bool are_none = (!sentinel::is_argument_v<Ts> && ...);
enum plain { one };
enum class scoped { one };

static_assert(are_arguments<const char *, char *, const char (&)[4], std::string, std::string &, std::string_view>);
static_assert(are_arguments<bool, short, unsigned, long, unsigned long long, float, double, long double, signed char>);
static_assert(are_arguments<std::optional<int>, std::optional<std::string>, std::pair<const std::string, double>>);
static_assert(are_arguments<std::vector<std::string>, std::vector<int> &, const std::vector<bool> &, int (&)[3]>);
static_assert(are_arguments<std::map<std::string, std::optional<int>>, std::vector<std::vector<std::string_view>>>);
static_assert(are_none<char, wchar_t, char16_t, std::nullptr_t, plain, scoped, std::byte, std::chrono::seconds>);
static_assert(are_none<const int *, void *, bool *, const unsigned char *>, "no pointer is a truth");
static_assert(are_none<std::vector<char>, std::vector<unsigned char>, std::vector<std::byte>>, "no bytes are numbers");
static_assert(are_none<std::optional<char>, std::vector<scoped>, std::map<std::string, const int *>, std::nullopt_t>);
static_assert(are_none<sentinel::reply, sentinel::value, sentinel::client>);
static_assert(std::is_convertible_v<std::vector<std::string>, sentinel::arguments>);
static_assert(std::is_convertible_v<std::vector<const char *>, sentinel::arguments>);
static_assert(std::is_convertible_v<const std::vector<std::string> &, sentinel::arguments>);
static_assert(!std::is_convertible_v<std::string, sentinel::arguments>, "no list of characters");
static_assert(!std::is_convertible_v<std::vector<int>, sentinel::arguments>);

// A result has what std::expected has, and no more undefined behaviour.
static_assert(std::is_same_v<sentinel::result<int>::value_type, int>);
static_assert(std::is_same_v<decltype(*std::declval<sentinel::result<sentinel::reply>>()), sentinel::reply>);
static_assert(std::is_same_v<decltype(*std::declval<sentinel::result<int> &>()), int &>);
static_assert(!std::is_copy_constructible_v<sentinel::result<sentinel::reply>>);
static_assert(std::is_copy_constructible_v<sentinel::result<std::string>>);

// A reply that nobody keeps gives away nothing that is borrowed from it.
template <class T, class = void> constexpr bool indexable = false;
template <class T> constexpr bool indexable<T, std::void_t<decltype(std::declval<T>()[std::size_t{0}])>> = true;
template <class T, class = void> constexpr bool pairable = false;
template <class T> constexpr bool pairable<T, std::void_t<decltype(std::declval<T>().pairs())>> = true;

static_assert(indexable<sentinel::reply &> && indexable<const sentinel::reply &> && !indexable<sentinel::reply>);
static_assert(pairable<sentinel::reply &> && !pairable<sentinel::reply>);
static_assert(std::is_same_v<decltype(std::declval<sentinel::page>().value()), sentinel::reply>,
              "a loop over it keeps the page");

#if defined(__cpp_lib_optional) && __cpp_lib_optional >= 202110L
// What goes on with a page that nobody keeps takes nothing of it along that is borrowed.
constexpr auto text_of = [](const sentinel::reply &of) { return of.text(); };
constexpr auto copy_of = [](const sentinel::reply &of) { return of.str(); };
template <class Page, class Next, class = void> constexpr bool transforms = false;
template <class Page, class Next>
constexpr bool transforms<Page, Next, std::void_t<decltype(std::declval<Page>().transform(std::declval<Next>()))>> =
    true;
template <class Page, class Next, class = void> constexpr bool continues = false;
template <class Page, class Next>
constexpr bool continues<Page, Next, std::void_t<decltype(std::declval<Page>().and_then(std::declval<Next>()))>> =
    true;
constexpr auto perhaps_text_of = [](const sentinel::reply &of) { return of.text_if(); };
constexpr auto perhaps_copy_of = [](const sentinel::reply &of) { return std::optional<std::string>(of.str()); };

static_assert(transforms<sentinel::page, decltype(copy_of)> && transforms<sentinel::page &, decltype(text_of)>);
static_assert(transforms<const sentinel::page &, decltype(text_of)> && !transforms<sentinel::page, decltype(text_of)>);
static_assert(continues<sentinel::page, decltype(perhaps_copy_of)>);
static_assert(continues<sentinel::page &, decltype(perhaps_text_of)>);
static_assert(continues<const sentinel::page &, decltype(perhaps_text_of)>);
static_assert(!continues<sentinel::page, decltype(perhaps_text_of)>);
#endif

static_assert(pairable<sentinel::scan &> && !pairable<sentinel::scan>, "its pairs walk on in the scan");
static_assert(std::is_convertible_v<sentinel::reply &, sentinel::value>);
static_assert(!std::is_convertible_v<sentinel::reply, sentinel::value>);

// A const object is one that any thread may use.
template <class T, class = void> constexpr bool commands = false;
template <class T>
constexpr bool commands<T, std::void_t<decltype(std::declval<T>().command(sentinel::arguments()))>> = true;

static_assert(commands<const sentinel::client &> && commands<sentinel::connection &>);
static_assert(!commands<const sentinel::connection &>);

#if defined(__cpp_lib_ranges)
#include <ranges>
static_assert(std::ranges::forward_range<sentinel::reply> && std::ranges::sized_range<sentinel::reply>);
static_assert(std::ranges::forward_range<sentinel::pair_range> && std::ranges::forward_range<sentinel::nodes>);
static_assert(std::ranges::input_range<sentinel::scan> && !std::ranges::forward_range<sentinel::scan>);
static_assert(std::ranges::input_range<decltype(std::declval<sentinel::scan &>().pairs())>);
#endif
