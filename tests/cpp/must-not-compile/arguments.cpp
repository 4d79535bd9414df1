/*
 * What is no argument of a command, nor what a reply is read as. Each line of WRONG(...) is an error of its own that
 * says in one line what can be written; see ../must-not-compile.sh.
 */
#include <sentinel.hpp>

#include <array>
#include <map>

#if defined(WITH_WRONG)
#define WRONG(...) static_cast<void>(__VA_ARGS__)
#else
#define WRONG(...) static_cast<void>(0)
#endif

enum class color { red };
enum number { one };
struct widget {};
sentinel::result<std::string_view> borrowing(const sentinel::reply &reply);

void arguments(const sentinel::client &client) {
    const std::string key = "key";
    const int *pointer = nullptr;
    client.command({"SET", key, std::string(1, 'c')});
    WRONG(client.command({"SET", key, 'c'}));
    client.command({"SET", key, static_cast<int>(color::red)});
    WRONG(client.command({"SET", key, color::red}));
    WRONG(client.command({"SET", key, one}));
    client.command({"SET", key, "value", "PX", std::chrono::milliseconds(5).count()});
    WRONG(client.command({"SET", key, "value", "PX", std::chrono::milliseconds(5)}));
    WRONG(client.command({"SET", key, pointer}));
    WRONG(client.command({"SET", key, nullptr}));
    WRONG(client.command({"SET", key, widget{}}));
    WRONG(client.command({"SET", key, std::nullopt}));
    const std::vector<unsigned char> bytes{1, 2};
    client.command({"SET", key, std::string_view(reinterpret_cast<const char *>(bytes.data()), bytes.size())});
    WRONG(client.command({"SET", key, bytes}));
    client.command({"MSET", std::map<std::string, int>{{"a", 1}}});
    WRONG(client.command({"MSET", std::map<std::string, widget>{}}));
}

void values(const sentinel::client &client) {
    const sentinel::reply reply = client.command({"GET", "key"});
    const std::string copy = reply.as<std::string>();
    WRONG(reply.as<std::string_view>());
    WRONG(reply.as<const char *>());
    WRONG(reply.as<widget>());
}

void results(sentinel::result<int> result) {
    const auto twice = result.and_then([](int number) { return sentinel::result<int>(2 * number); });
    WRONG(result.and_then([](int number) { return 2 * number; }));
    static_cast<void>(twice);
}

void steps(const sentinel::client &client) {
    using sentinel::reply;
    const auto kept = client.try_command({"GET", "key"});
    const auto text = kept.transform([](const reply &reply) { return reply.text(); });
    WRONG(client.try_command({"GET", "key"}).transform([](const reply &reply) { return reply.text(); }));
    WRONG(client.try_command({"GET", "key"}).transform([](const reply &reply) { return reply[0]; }));
    WRONG(client.try_command({"GET", "key"}).transform([](const reply &reply) { return reply.text_if(); }));
    WRONG(client.try_command({"GET", "key"}).and_then([](const reply &reply) { return borrowing(reply); }));
    WRONG(client.try_command({"GET", "key"}).transform([](const reply &reply) { return reply.begin(); }));
    WRONG(client.try_command({"GET", "key"}).transform([](const reply &reply) { return reply.pairs()[0]; }));
    WRONG(client.try_command({"GET", "key"}).transform([](const reply &reply) { return std::pair(1, reply[0]); }));
    WRONG(client.try_command({"GET", "key"}).transform([](const reply &reply) { return std::vector{reply.text()}; }));
    WRONG(client.try_command({"GET", "key"}).transform([](const reply &reply) { return std::array{reply[0]}; }));
    const auto copy = client.try_command({"GET", "key"}).transform([](const reply &reply) { return reply.str(); });
    const auto size = text.transform([](std::string_view text) { return text.substr(1); }).value_or("").size();
    const auto all = client.try_command({"GET", "key"}).transform([](const reply &reply) {
        return std::pair(reply.as<std::vector<std::string>>(), std::optional(reply.integer()));
    });
    static_cast<void>(size + copy.value_or("").size() + all.value().first.size());
}

void options(sentinel::options options) {
    options.set("timeout_ms", 5).set("tls", true).set("max_pending", std::size_t{5});
    WRONG(options.set("timeout_ms", 1.5));
    WRONG(options.set("timeout_ms", '5'));
    WRONG(options.set("password", nullptr));
    WRONG(options.url(nullptr));
}
