/*
 * libsentinel for C++17 and later: sentinel.h with owners, values and exceptions. Header only; link libsentinel.
 *
 *     sentinel::options options;
 *     options.add_sentinel("127.0.0.1", 26379);
 *     const sentinel::deployment deployment(options);
 *     const sentinel::client primary = deployment.primary_for("mymaster");
 *     primary.command({"SET", "visits", 1});
 *     const auto visits = primary.command({"INCR", "visits"}).as<std::int64_t>();
 *
 * Ownership. options, deployment, nodes, client, batch, script, scan, connection, reply, queue and subscription each
 * own one object of the C library: they move and do not copy, and their destructors free it without waiting for the
 * network, in any order and from any thread. A moved-from one may be assigned to and destroyed; a call on it fails with
 * NULL_ARGUMENT. What is passed in is copied before a call returns. A std::string_view or a value that comes out is
 * borrowed from its object and lives as long as it; what is called as() or str() is a copy. From a temporary nothing
 * can be borrowed: it does not compile.
 *
 * Errors. A call throws the class of <sentinel/error.hpp> that goes with its status, all of them sentinel::error, those
 * that mean "no connection to the service" sentinel::connection_error. A call with try_ in front returns a result that
 * holds the value or the failure, and throws only std::bad_alloc. With -fno-exceptions, for all files of a program,
 * what would throw says its message on standard error and calls std::terminate.
 *
 * Time. std::chrono::milliseconds; 0: the configured default; no_limit: no limit; otherwise a hard deadline for the
 * whole call.
 *
 * Threads. A const member function may be called from any number of threads at once. Options, batches, scans and
 * connections are used by one thread at a time, and so is every object while it is moved, assigned or destroyed. There
 * is no state outside the objects.
 *
 * Compile time. With SENTINEL_HPP_SEPARATE defined for all files of a program the definitions are left out, and one
 * file that defines SENTINEL_HPP_SOURCE and includes <sentinel.hpp> has them for all.
 *
 * The functions of sentinel.h that say "Not available in this version" throw sentinel::unavailable here.
 */
#ifndef SENTINEL_HPP
#define SENTINEL_HPP

#include <sentinel/error.hpp>      // status, failure, the exceptions
#include <sentinel/result.hpp>     // result
#include <sentinel/reply.hpp>      // value, reply
#include <sentinel/command.hpp>    // argument, arguments, call_options, batch, script
#include <sentinel/async.hpp>      // queue, completion
#include <sentinel/coroutine.hpp>  // awaitable, resumption, canceller
#include <sentinel/client.hpp>     // nodes, connection, client
#include <sentinel/options.hpp>    // options
#include <sentinel/deployment.hpp> // deployment, subscription
#include <sentinel/scan.hpp>       // scan

namespace sentinel {

/** The version of the library that was loaded, such as `1.2.3`; static. That of the headers: `SENTINEL_VERSION_*`. */
inline std::string_view version() noexcept { return sentinel_version(); }
/** The same as a number, 10203 for 1.2.3, to be compared with `SENTINEL_VERSION_NUMBER`. */
inline std::uint32_t version_number() noexcept { return sentinel_version_number(); }

} // namespace sentinel

#endif
