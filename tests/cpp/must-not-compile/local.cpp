/*
 * What is borrowed from an object that ends with its function: clang tells, by [[clang::lifetimebound]]. Each line of
 * WRONG(...) is a warning or an error of its own; see ../must-not-compile.sh.
 */
#include <sentinel.hpp>

#if defined(WITH_WRONG)
#define WRONG(...) __VA_ARGS__
#else
#define WRONG(...) return {}
#endif

std::string_view text(const sentinel::client &client) {
    const sentinel::reply reply = client.command({"GET", "key"});
    WRONG(return reply.text());
}

std::string_view format(const sentinel::client &client) {
    const sentinel::reply reply = client.command({"GET", "key"});
    WRONG(return reply.format());
}

sentinel::value value(const sentinel::client &client) {
    const sentinel::reply reply = client.command({"GET", "key"});
    WRONG(return reply[0]);
}

sentinel::value whole(const sentinel::client &client) {
    const sentinel::reply reply = client.command({"GET", "key"});
    WRONG(return reply);
}

sentinel::pair_range pairs(const sentinel::client &client) {
    const sentinel::reply reply = client.command({"GET", "key"});
    WRONG(return reply.pairs());
}

std::string_view message(const sentinel::client &client) {
    const auto answer = client.try_command({"GET", "key"});
    WRONG(return answer.error().message());
}

std::string_view sha1() {
    const sentinel::script script("return 1");
    WRONG(return script.sha1());
}

std::string_view argument() {
    const sentinel::arguments args{"GET", 1};
    WRONG(return args[1]);
}
