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
static_assert(std::is_constructible_v<sentinel::argument, const char *>);
static_assert(std::is_constructible_v<sentinel::argument, std::string>);
static_assert(std::is_constructible_v<sentinel::argument, long> && std::is_constructible_v<sentinel::argument, double>);
static_assert(std::is_constructible_v<sentinel::argument, bool> && !std::is_constructible_v<sentinel::argument, char>);
static_assert(!std::is_constructible_v<sentinel::argument, const int *>, "no pointer is a truth");
static_assert(!std::is_constructible_v<sentinel::argument, std::nullptr_t>);
static_assert(std::is_convertible_v<std::vector<std::string>, sentinel::arguments>);
static_assert(std::is_convertible_v<std::vector<const char *>, sentinel::arguments>);
static_assert(!std::is_convertible_v<std::string, sentinel::arguments>, "no list of characters");
static_assert(!std::is_convertible_v<std::vector<int>, sentinel::arguments>);

// A reply that nobody keeps gives away nothing that is borrowed from it.
template <class T, class = void> constexpr bool indexable = false;
template <class T> constexpr bool indexable<T, std::void_t<decltype(std::declval<T>()[std::size_t{0}])>> = true;
template <class T, class = void> constexpr bool pairable = false;
template <class T> constexpr bool pairable<T, std::void_t<decltype(std::declval<T>().pairs())>> = true;

static_assert(indexable<sentinel::reply &> && indexable<const sentinel::reply &> && !indexable<sentinel::reply>);
static_assert(pairable<sentinel::reply &> && !pairable<sentinel::reply>);
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
