/*
 * needs: topology. Uses `lab ctl`: the primary is killed and followed, then every server, until nothing is
 * left to connect to.
 */
#include "check.hpp"

#include <thread>

using namespace std::chrono_literals;

static void control(const std::string &verb) {
    const char *lab = std::getenv("LAB");
    CHECK(lab != nullptr);
    CHECK_EQUAL(0, std::system(('"' + std::string(lab) + "\" ctl " + verb + " >/dev/null").c_str()));
}

static std::string serving(const sentinel::client &client) {
    const sentinel::nodes nodes = client.node();
    return nodes[0].endpoint();
}

static void a_killed_primary_is_followed(const sentinel::client &client) {
    client.command({"SET", "cpp:lost", "before"});
    const std::string old = serving(client);
    control("kill-primary");
    // With retry_unknown the call goes on also where the first write may have been executed.
    sentinel::call_options sure{60s};
    sure.retry_unknown = true;
    CHECK_EQUAL("OK", client.command({"SET", "cpp:lost", "after"}, sure).str());
    CHECK(serving(client) != old);
    CHECK_EQUAL("after", client.command({"GET", "cpp:lost"}).str());
}

static void without_data_nodes_there_is_no_primary(const sentinel::client &client, int nodes) {
    for (int i = 0; i < nodes; i++)
        control("kill " + std::to_string(i));
    // The first one may have been under way when its server died.
    CHECK(client.try_command({"SET", "cpp:lost", "lost"}, {300ms}).error().is_connection_error());
    bool caught_as_family = false;
    try {
        client.command({"GET", "cpp:lost"}, {1s});
    } catch (const sentinel::connection_error &error) {
        caught_as_family = true;
        CHECK_EQUAL("PRIMARY_NOT_FOUND", sentinel::name(error.status()));
        CHECK(error.reason() == sentinel::reason::node_unreachable && error.outcome() == sentinel::outcome::not_sent);
        CHECK(!error.attempts().empty());
    }
    CHECK(caught_as_family);
    CHECK_THROWS(sentinel::primary_not_found, client.command({"SET", "cpp:lost", "lost"}, {500ms}));
    CHECK_THROWS(sentinel::primary_not_found, client.acquire(500ms));
}

static void without_sentinels_there_is_none_either(const sentinel::options &options, const char *service,
                                                     int sentinels) {
    for (int i = 0; i < sentinels; i++)
        control("kill-sentinel " + std::to_string(i));
    const sentinel::deployment late(options); // opening does no I/O
    CHECK_THROWS_AND(sentinel::primary_not_found, late.primary_for(service).command({"PING"}, {500ms}), {
        CHECK(caught.reason() == sentinel::reason::no_sentinel_reachable);
        CHECK(caught.attempts().size() >= static_cast<std::size_t>(sentinels));
    });
    CHECK_THROWS(sentinel::replica_not_found, late.discover_replicas(service, 500ms));
}

int main(int argc, char **argv) {
    return check::run([&] {
        const sentinel::options options = check::options_of(argc, argv);
        const sentinel::deployment deployment(options);
        const sentinel::client client = deployment.primary_for(argv[1]);
        a_killed_primary_is_followed(client);
        without_data_nodes_there_is_no_primary(client, 3);
        without_sentinels_there_is_none_either(options, argv[1], argc - 2);
    });
}
