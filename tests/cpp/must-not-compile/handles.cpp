/*
 * Handles are owners: one of each, that moves. Each line of WRONG(...) is an error of its own, and what stands above it is
 * what to write instead; see ../must-not-compile.sh.
 */
#include <sentinel.hpp>

#if defined(WITH_WRONG)
#define WRONG(...) __VA_ARGS__
#else
#define WRONG(...) static_cast<void>(0)
#endif

template <class T> void own(T) {}
template <class T> void lend(const T &) {}

void copies(sentinel::options &options, const sentinel::deployment &deployment, sentinel::client &client,
            sentinel::reply &reply) {
    lend(options);
    WRONG(own(options));
    lend(deployment);
    WRONG(own(deployment));
    WRONG(own(std::move(deployment))); // it is const
    own(std::move(client));
    WRONG(own(client));
    own(std::move(reply));
    WRONG(own(reply));
    sentinel::connection connection = deployment.primary_for("mymaster").acquire();
    WRONG(const sentinel::connection same = connection);
    WRONG(connection = connection);
    const sentinel::connection moved = std::move(connection);
    const sentinel::nodes nodes = deployment.discover_primary("mymaster");
    WRONG(own(nodes));
    const sentinel::script script("return 1");
    WRONG(own(script));
    sentinel::queue queue(deployment, 16);
    WRONG(const auto other = queue);
    static_cast<void>(moved);
}

void results(const sentinel::client &client) {
    auto answer = client.try_command({"GET", "key"});
    const sentinel::reply taken = std::move(answer).value();
    const auto kept = client.try_command({"GET", "key"});
    const sentinel::reply &lent = kept.value();
    WRONG(const sentinel::reply copy = kept.value());
    WRONG(const auto all = kept);
    static_cast<void>(lent);
    static_cast<void>(taken);
}
