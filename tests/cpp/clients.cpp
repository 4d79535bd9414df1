/*
 * needs: topology. Commands in all their forms, batches, transactions, connections, nodes, moves, frees in any order.
 */
#include "check.hpp"

#include <atomic>
#include <list>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

static void commands_take_texts_numbers_and_ranges(const sentinel::client &client) {
    const std::string key = "cpp:key";
    const std::string_view view = key;
    client.command({"SET", key, 7});
    CHECK_EQUAL("7", client.command({"GET", view}).str());
    CHECK_EQUAL("7", client.command(std::vector<std::string>{"GET", key}).str());
    CHECK_EQUAL("7", client.command(std::list<const char *>{"GET", "cpp:key"}).str());
    std::vector<std::string> keys;
    for (int i = 0; i < 100; i++)
        keys.push_back("cpp:built:" + std::to_string(i));
    sentinel::arguments built{"MSET"};
    for (std::size_t i = 0; i < keys.size(); i++)
        built.add(keys[i]).add(i);
    const sentinel::arguments moved = std::move(built); // the numbers it made texts of move along
    CHECK_EQUAL(201u, moved.size());
    CHECK_EQUAL("OK", client.command(moved).str());
    CHECK_EQUAL(99, client.command({"GET", "cpp:built:99"}).as<int>());
    CHECK_THROWS_AND(sentinel::usage_error, client.command({}), CHECK(!caught.is_connection_error()));
}

static void failures_are_thrown_or_returned(const sentinel::client &client) {
    client.command({"SET", "cpp:key", "text"});
    CHECK_THROWS_AND(sentinel::server_error, client.command({"LPUSH", "cpp:key", "x"}), {
        CHECK(caught.status() == sentinel::status::server);
        CHECK_EQUAL("WRONGTYPE", caught.server_code().value_or(""));
        CHECK(std::string(caught.what()).find("WRONGTYPE") != std::string::npos);
        CHECK(caught.endpoint().has_value() && caught.reason() == sentinel::reason::none);
    });
    const auto wrong = client.try_command({"LPUSH", "cpp:key", "x"});
    CHECK(!wrong && !wrong.ok());
    CHECK_EQUAL("WRONGTYPE", wrong.error().server_code().value_or(""));
    CHECK_EQUAL("SERVER", sentinel::name(wrong.error().status()));
    CHECK_THROWS(sentinel::server_error, wrong.value());
    const auto right = client.try_command({"GET", "cpp:key"});
    CHECK(right && right->text() == "text" && (*right).str() == "text");
    CHECK_EQUAL("text", client.try_command({"GET", "cpp:key"}).value().str());
    CHECK_THROWS_AND(sentinel::usage_error, right.error(), CHECK(caught.status() == sentinel::status::wrong_state));
    CHECK(client.try_connect().ok());
    CHECK_THROWS(sentinel::usage_error, client.try_connect().error());

    CHECK_THROWS(sentinel::unsupported_command, client.command({"MULTI"}));
    CHECK_THROWS_AND(sentinel::unsupported_command, client.command({"SELECT", 1}),
                     CHECK(caught.outcome() == sentinel::outcome::not_sent));
}

static void call_options_reach_the_call(const sentinel::client &client, std::size_t replicas) {
    client.command({"DEL", "cpp:none"});
    const auto before = std::chrono::steady_clock::now();
    CHECK_THROWS_AND(sentinel::timeout, client.command({"BLPOP", "cpp:none", 0}, {100ms}),
                     CHECK(caught.is_connection_error()));
    CHECK(std::chrono::steady_clock::now() - before < 30s);
    sentinel::call_options sure{sentinel::no_limit};
    sure.retry_unknown = true;
    sure.replicas = static_cast<std::uint32_t>(replicas);
    CHECK_EQUAL("OK", client.command({"SET", "cpp:sure", 1}, sure).str());
    sentinel::call_options impossible{2s};
    impossible.replicas = 99;
    CHECK_THROWS(sentinel::not_replicated, client.command({"SET", "cpp:sure", 2}, impossible));
    CHECK_EQUAL("2", client.command({"GET", "cpp:sure"}).str()); // the write was done
}

static void batches_and_transactions(const sentinel::client &client) {
    sentinel::batch batch;
    CHECK(batch.empty());
    batch.add({"DEL", "cpp:n", "cpp:text"}).add({"SET", "cpp:text", "x"});
    batch.add({"INCR", "cpp:text"}).add({"INCR", "cpp:n"});
    CHECK_EQUAL(4u, batch.size());
    for (int run = 0; run < 2; run++) {
        const sentinel::reply replies = client.run(batch);
        CHECK_EQUAL(4u, replies.size());
        CHECK_EQUAL("OK", replies[1].text());
        CHECK(replies[2].is_error());
        CHECK_THROWS_AND(sentinel::server_error, replies[2].as<int>(), {
            CHECK_EQUAL("ERR", caught.server_code().value_or(""));
            CHECK(caught.outcome() == sentinel::outcome::refused);
        });
        CHECK_EQUAL(1, replies[3].integer());
    }
    CHECK_THROWS(sentinel::usage_error, batch.add({}));
    CHECK_EQUAL(4u, batch.size());
    batch.clear();
    CHECK(batch.empty());

    const auto transaction =
        sentinel::batch(sentinel::batch_kind::transaction).add({"SET", "cpp:n", 1}).add({"INCRBY", "cpp:n", 9});
    const sentinel::reply done = client.run(transaction);
    CHECK_EQUAL(2u, done.size());
    CHECK_EQUAL(10, done[1].as<int>());
    const auto refused = sentinel::batch(sentinel::batch_kind::transaction).add({"SET", "cpp:n", 2}).add({"NO-SUCH"});
    CHECK_THROWS(sentinel::transaction_aborted, client.run(refused));
    CHECK(client.try_run(refused).error().status() == sentinel::status::transaction_aborted);
    CHECK_EQUAL("10", client.command({"GET", "cpp:n"}).str());
    CHECK_THROWS(sentinel::usage_error, sentinel::batch(static_cast<sentinel::batch_kind>(9)));
}

static void connections_keep_their_state(const sentinel::client &client) {
    client.command({"SET", "cpp:watched", 1});
    sentinel::connection own = client.acquire();
    own.command({"WATCH", "cpp:watched"});
    client.command({"SET", "cpp:watched", 2});
    own.command({"MULTI"});
    CHECK_EQUAL("QUEUED", own.command({"SET", "cpp:watched", 3}).str());
    CHECK_THROWS(sentinel::transaction_aborted, own.command({"EXEC"}));
    sentinel::connection same = std::move(own);
    CHECK(!own && same);
    CHECK_THROWS_AND(sentinel::usage_error, own.command({"PING"}),
                     CHECK(caught.status() == sentinel::status::null_argument));
    same.command({"SELECT", 1});
    CHECK(same.try_command({"GET", "cpp:watched"}).value().is_nil());
    same = client.acquire(5s); // the first one goes back
    CHECK_EQUAL("2", same.command({"GET", "cpp:watched"}).str());
    same.cancel();
    CHECK_THROWS(sentinel::cancelled, same.command({"PING"}));
}

static void nodes_are_listed(const sentinel::deployment &deployment, const sentinel::client &client,
                             const char *service) {
    const sentinel::nodes primaries = deployment.discover_primary(service);
    CHECK_EQUAL(1u, primaries.size());
    CHECK(primaries[0].role() == sentinel::role::primary && !primaries[0].host().empty() && primaries[0].port() != 0);
    CHECK(primaries[0].field("config-epoch") && !primaries[0].field("no-such-field"));
    CHECK(primaries[1].host().empty() && primaries[1].port() == 0 && !primaries[1].field("flags"));
    for (const sentinel::node replica : deployment.discover_replicas(service, 1min))
        CHECK(replica.role() == sentinel::role::replica && replica.endpoint() != primaries[0].endpoint());
    std::size_t sentinels = 0;
    for (const auto node : deployment.discover_sentinels(service))
        sentinels += node.role() == sentinel::role::sentinel;
    CHECK(sentinels > 0);
    client.connect();
    const sentinel::nodes serving = client.node();
    CHECK_EQUAL(1u, serving.size());
    CHECK_EQUAL(primaries[0].endpoint(), serving[0].endpoint());
    CHECK(deployment.try_discover_replicas(service).ok() && deployment.try_discover_sentinels(service).ok());
    CHECK(deployment.try_discover_primary("no-such-service", 2s).error().reason() == sentinel::reason::unknown_service);
}

static void owners_move_and_die_in_any_order(const sentinel::options &options, const char *service) {
    std::optional<sentinel::deployment> deployment(std::in_place, options);
    sentinel::client first = deployment->primary_for(service);
    sentinel::client second = std::move(first);
    CHECK(!first && second);
    CHECK_THROWS_AND(sentinel::usage_error, first.command({"PING"}),
                     CHECK(caught.status() == sentinel::status::null_argument));
    std::optional<sentinel::reply> reply(second.command({"ECHO", "kept"}));
    std::optional<sentinel::connection> own(second.acquire());
    deployment.reset();
    CHECK_EQUAL("PONG", second.command({"PING"}).str());
    second = sentinel::client(nullptr);
    CHECK_EQUAL("PONG", own->command({"PING"}).str());
    own.reset();
    CHECK_EQUAL("kept", reply->text());
}

static void a_url_names_the_service(int argc, char **argv) {
    std::string url = "redis+sentinel://";
    for (int i = 2; i < argc; i++)
        url += std::string(i > 2 ? "," : "") + argv[i];
    const sentinel::deployment deployment(url + '/' + argv[1] + "/0?timeout_ms=60000&sentinel.timeout_ms=5000");
    CHECK_EQUAL("PONG", deployment.primary_for().command({"PING"}).str());
    const char *unset = nullptr;
    CHECK_EQUAL("PONG", deployment.primary_for(nullptr).command({"PING"}).str());
    CHECK_EQUAL(1u, deployment.discover_primary(unset).size());
    const sentinel::client replica = deployment.replica_for({}, sentinel::options().set("timeout_ms", 1min));
    CHECK_EQUAL("PONG", replica.command({"PING"}).str());
    deployment.close(10s);
    CHECK_THROWS(sentinel::closed, deployment.discover_primary());
    CHECK_THROWS(sentinel::closed, deployment.primary_for().command({"PING"}));
}

static void threads_share_a_client(const sentinel::client &client) {
    client.command({"DEL", "cpp:shared"});
    std::atomic<int> failed{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; i++)
        threads.emplace_back([&client, &failed] {
            for (int n = 0; n < 100; n++)
                failed += !client.try_command({"INCR", "cpp:shared"}).ok();
        });
    for (std::thread &thread : threads)
        thread.join();
    CHECK_EQUAL(0, failed.load());
    CHECK_EQUAL(800, client.command({"GET", "cpp:shared"}).as<int>());
}

int main(int argc, char **argv) {
    return check::run([&] {
        const sentinel::options options = check::options_of(argc, argv);
        const sentinel::deployment deployment(options);
        const sentinel::client client = deployment.primary_for(argv[1]);
        commands_take_texts_numbers_and_ranges(client);
        failures_are_thrown_or_returned(client);
        call_options_reach_the_call(client, 1);
        batches_and_transactions(client);
        connections_keep_their_state(client);
        nodes_are_listed(deployment, client, argv[1]);
        owners_move_and_die_in_any_order(options, argv[1]);
        a_url_names_the_service(argc, argv);
        threads_share_a_client(client);
    });
}
