/*
 * Assertions for the C++ tests, and the deployment that the command line names: SERVICE HOST:PORT...
 */
#ifndef CHECK_HPP
#define CHECK_HPP

#include <sentinel.hpp>

#include <cstdlib>
#include <iostream>
#include <string>
#include <typeinfo>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            check::fail(__FILE__, __LINE__, #condition);                                                               \
    } while (0)

/* Two things that can be compared and printed are equal. */
#define CHECK_EQUAL(expected, actual) check::equal((expected), (actual), #actual, __FILE__, __LINE__)

/* `statement` throws `expected` itself, no class below it. */
#define CHECK_THROWS(expected, statement) CHECK_THROWS_AND(expected, statement, static_cast<void>(caught))

/* The same, and then runs what follows, where the exception is at hand as `caught`. */
#define CHECK_THROWS_AND(expected, statement, ...)                                                                     \
    do {                                                                                                               \
        bool thrown = false;                                                                                           \
        try {                                                                                                          \
            static_cast<void>(statement);                                                                              \
        } catch (const expected &caught) {                                                                             \
            thrown = typeid(caught) == typeid(expected);                                                               \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
        if (!thrown)                                                                                                   \
            check::fail(__FILE__, __LINE__, #statement " does not throw " #expected);                                  \
    } while (0)

namespace check {

[[noreturn]] inline void fail(const char *file, int line, const std::string &what) {
    std::cerr << file << ':' << line << ": failed: " << what << '\n';
    std::exit(1);
}

template <class A, class B>
void equal(const A &expected, const B &actual, const char *what, const char *file, int line) {
    if (!(expected == actual)) {
        std::cerr << file << ':' << line << ": " << what << " is \"" << actual << "\", not \"" << expected << "\"\n";
        std::exit(1);
    }
}

/* The timeouts are long: these tests are about answers, and must not fail on a busy machine. */
inline sentinel::options options_of(int argc, char **argv) {
    if (argc < 3) {
        std::cerr << "usage: " << argv[0] << " SERVICE HOST:PORT...\n";
        std::exit(2);
    }
    sentinel::options options;
    for (int i = 2; i < argc; i++) {
        const std::string endpoint = argv[i];
        const auto colon = endpoint.rfind(':');
        CHECK(colon != std::string::npos);
        options.add_sentinel(endpoint.substr(0, colon),
                             static_cast<std::uint16_t>(std::atoi(endpoint.c_str() + colon + 1)));
    }
    options.set("timeout_ms", std::chrono::minutes(1)).set("connect_timeout_ms", 10000);
    options.set("sentinel.timeout_ms", 5000).set("sentinel.connect_timeout_ms", 5000);
    return options;
}

#if defined(__cpp_exceptions)

/* Runs `main` and says what it threw. */
template <class Main> int run(Main main) {
    try {
        main();
        return 0;
    } catch (const sentinel::error &error) {
        std::cerr << "not caught: " << sentinel::name(error.status()) << ": " << error.what() << '\n';
        for (const auto attempt : error.attempts())
            std::cerr << "    " << attempt << '\n';
    } catch (const std::exception &error) {
        std::cerr << "not caught: " << error.what() << '\n';
    }
    return 1;
}

#endif

} // namespace check

#endif
