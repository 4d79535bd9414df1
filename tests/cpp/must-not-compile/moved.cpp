/*
 * What was moved from and is used all the same: it compiles, as everywhere in C++, and clang's analyzer tells. Each line
 * of WRONG(...) is a warning of its own; see ../must-not-compile.sh.
 */
#include <sentinel.hpp>

#if defined(WITH_WRONG)
#define WRONG(...) __VA_ARGS__
#else
#define WRONG(...) static_cast<void>(0)
#endif

template <class T> void own(T) {}

void client(sentinel::client own_client) {
    sentinel::client other = std::move(own_client);
    other.command({"PING"});
    WRONG(own_client.command({"PING"}));
}

void connection(sentinel::connection connection) {
    own(std::move(connection));
    WRONG(connection.command({"PING"}));
}

void again(sentinel::connection connection, sentinel::client client) {
    own(std::move(connection));
    connection = client.acquire();
    connection.command({"PING"}); // it holds another one
}

std::size_t reply(sentinel::reply reply) {
    const sentinel::reply other = std::move(reply);
    WRONG(static_cast<void>(reply.size()));
    return other.size();
}

void text(sentinel::reply reply) {
    own(std::move(reply));
    WRONG(const std::string text = reply.str());
}

void options(sentinel::options options) {
    const sentinel::deployment deployment(options);
    own(std::move(options));
    WRONG(options.set("tls", 1));
}
