/*
 * needs: topology. flags: -fno-exceptions -fno-rtti. Everything by the try_ forms; what would throw ends the program.
 */
#include "check.hpp"

#include <sentinel/future.hpp>

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;

static void commands_and_batches(const sentinel::client &client) {
    const auto set = client.try_command({"SET", "cpp:plain", 41});
    CHECK(set && set->str() == "OK");
    CHECK_EQUAL(42, client.try_command({"INCR", "cpp:plain"})
                        .transform([](const sentinel::reply &reply) { return reply.as<int>(); })
                        .value_or(0));
    const auto wrong = client.try_command({"LPUSH", "cpp:plain", "x"});
    CHECK(!wrong && wrong.error().status() == sentinel::status::server);
    CHECK_EQUAL("WRONGTYPE", wrong.error().server_code().value_or(""));
    CHECK(client.try_command({"GET", std::optional<int>()}).error().outcome() == sentinel::outcome::not_sent);
    sentinel::batch batch;
    CHECK(batch.try_add({"GET", "cpp:plain"}).ok() && !batch.try_add({}).ok());
    const auto run = client.try_run(batch);
    CHECK(run && (*run)[0].as<int>() == 42);
    CHECK(client.try_run(sentinel::script("return 7")).value().as<int>() == 7);
    auto scan = sentinel::scan::try_make(client, {"SCAN", "MATCH", "cpp:plain"});
    std::size_t found = 0;
    while (const auto page = scan->try_next().value())
        found += page->size();
    CHECK(found >= 1);
    auto connection = client.try_acquire();
    CHECK(connection && connection->try_command({"WATCH", "cpp:plain"}).ok());
    CHECK(client.try_node().ok() && client.try_connect().ok());
}

static void calls_that_do_not_wait(const sentinel::deployment &deployment, const sentinel::client &client) {
    const auto queue = sentinel::queue::try_make(deployment, 16);
    const auto id = client.try_submit(*queue, {"BLPOP", "cpp:none", 0}, 1);
    CHECK(id && client.try_cancel(*id).ok());
    const auto taken = queue->try_poll(1, 60s);
    CHECK(taken && taken->size() == 1 && (*taken)[0].answer.error().status() == sentinel::status::cancelled);
    CHECK_EQUAL("x", client.try_async({"ECHO", "x"}).get().value().str());
    const auto subscription = sentinel::subscription::try_make(client, *queue, 2);
    CHECK(subscription->try_add("cpp:channel").ok() && subscription->try_remove("cpp:channel").ok());
    CHECK(deployment.try_metric("commands_total").ok() && !deployment.try_metric("no_such").ok());
    CHECK(deployment.try_describe().ok() && deployment.try_metrics_text().ok());
    CHECK(deployment.try_watch_events(SENTINEL_EVENT_CONNECTION, *queue, 3).ok());
}

static void what_is_wrong_is_returned(const sentinel::deployment &deployment) {
    sentinel::options options;
    CHECK(options.try_set("no.such.key", 1).error().status() == sentinel::status::unknown_option);
    CHECK(!options.try_url("http://nowhere") && !options.try_set("timeout_ms", std::string_view("1\0", 2)));
    CHECK(!sentinel::deployment::try_open(options) && !sentinel::deployment::try_open("redis+sentinel://"));
    CHECK(deployment.try_primary_for("mymaster", options).ok() && !deployment.try_primary_for().ok());
}

/* What `call` says before it ends the program. */
template <class Call> static std::string last_words(Call call) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        call();
        _exit(0);
    }
    close(ends[1]);
    std::string said;
    char buffer[256];
    for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
        said.append(buffer, static_cast<std::size_t>(got));
    close(ends[0]);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return said;
}

static void what_would_throw_terminates(const sentinel::client &client) {
    const auto says = [](const std::string &said, const char *wanted) {
        if (said.find(wanted) == std::string::npos)
            check::fail(__FILE__, __LINE__, said);
    };
    const sentinel::reply text = client.try_command({"ECHO", "text"}).value();
    says(last_words([&] { static_cast<void>(text.as<int>()); }), "INVALID_ARGUMENT: the string \"text\" is no integer");
    const auto none = text.try_as<int>();
    CHECK(!none && none.error().message() == "the string \"text\" is no integer");
    CHECK_EQUAL("text", text.try_as<std::string>().value());
    says(last_words([&] { static_cast<void>(text.at(3)); }), "a reply of 0 has no element 3");
    says(last_words([&] { static_cast<void>(client.command({"GET", "x"})); }), "FORKED: "); // a child's client
    says(last_words([] { sentinel::options().set("no.such.key", 1); }), "UNKNOWN_OPTION: ");
    says(last_words([] { static_cast<void>(sentinel::result<int>(1).error()); }), "WRONG_STATE: ");
}

#if defined(__cpp_impl_coroutine)

struct begun {
    struct promise_type {
        std::promise<int> kept;
        begun get_return_object() { return {kept.get_future()}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_value(int value) { kept.set_value(value); }
        void unhandled_exception() {}
    };
    std::future<int> future;
};

static begun awaited(const sentinel::client &client) {
    const auto right = co_await client.co_try_command("ECHO", 5);
    const auto wrong = co_await client.co_try_command("SET", "cpp:plain");
    co_return right && !wrong ? right->as<int>() : -1;
}

#endif

int main(int argc, char **argv) {
    const auto deployment = sentinel::deployment::try_open(check::options_of(argc, argv));
    const auto client = deployment->try_primary_for(argv[1]);
    commands_and_batches(*client);
    calls_that_do_not_wait(*deployment, *client);
    what_is_wrong_is_returned(*deployment);
    what_would_throw_terminates(*client);
#if defined(__cpp_impl_coroutine)
    CHECK_EQUAL(5, awaited(*client).future.get());
#endif
}
