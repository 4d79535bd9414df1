/*
 * What the headers are compiled with: where the definitions stand, exceptions, lifetimes. Included by <sentinel.hpp>.
 */
#ifndef SENTINEL_CONFIG_HPP
#define SENTINEL_CONFIG_HPP

#include <sentinel.h>

/*
 * Without a macro of the program's, everything is in the headers. With SENTINEL_HPP_SEPARATE the definitions are not,
 * and one file that defines SENTINEL_HPP_SOURCE before it includes <sentinel.hpp> has them for all others.
 */
#if defined(SENTINEL_HPP_SEPARATE) || defined(SENTINEL_HPP_SOURCE)
#define SENTINEL_HPP_INLINE
#else
#define SENTINEL_HPP_INLINE inline
#endif
#if !defined(SENTINEL_HPP_SEPARATE) || defined(SENTINEL_HPP_SOURCE)
#define SENTINEL_HPP_DEFINITIONS
#endif

/* With -fno-exceptions, what would throw ends the program. */
#if defined(__cpp_exceptions)
#define SENTINEL_HPP_EXCEPTIONS
#endif

/* What is borrowed from an object: clang tells where it would outlive a local one. */
#if defined(__clang__) && __has_cpp_attribute(clang::lifetimebound)
#define SENTINEL_HPP_BORROWED [[clang::lifetimebound]]
#else
#define SENTINEL_HPP_BORROWED
#endif
/* A class whose objects are borrowed, as a std::string_view is. */
#if defined(__clang__) && __has_cpp_attribute(gsl::Pointer)
#define SENTINEL_HPP_VIEW [[gsl::Pointer]]
#else
#define SENTINEL_HPP_VIEW
#endif

#endif
