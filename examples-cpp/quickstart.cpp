/*
 * Ask the Sentinels who serves, write through the primary, read through a replica.
 *
 *     quickstart SERVICE HOST:PORT [HOST:PORT...]
 *
 * Each HOST:PORT is a Sentinel; SERVICE is the name it watches the primary under, often "mymaster".
 */
#include <sentinel.hpp>

#include <cstdlib>
#include <iostream>
#include <map>
#include <thread>

using namespace std::chrono_literals;

/* host:port, or [address]:port for IPv6. */
static void add_sentinel(sentinel::options &options, std::string_view endpoint) {
    const auto colon = endpoint.rfind(':');
    std::string_view host = endpoint.substr(0, colon);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    int port = 26379;
    if (colon != std::string_view::npos)
        port = std::atoi(std::string(endpoint.substr(colon + 1)).c_str());
    // What is no port becomes 0, which the library refuses with a message.
    options.add_sentinel(host, port > 0 && port <= 65535 ? static_cast<std::uint16_t>(port) : std::uint16_t{0});
}

/* Replication is asynchronous: what the primary just took may reach the replica a moment later. */
static std::optional<std::string> read_until(const sentinel::client &replica, std::string_view key,
                                             std::string_view value) {
    std::optional<std::string> seen;
    for (int tries = 0; tries < 100 && seen != value; tries++) {
        if (tries > 0)
            std::this_thread::sleep_for(20ms);
        seen = replica.command({"GET", key}).as<std::optional<std::string>>();
    }
    return seen;
}

static void show(const char *service, const sentinel::options &options) {
    const sentinel::deployment deployment(options); // starts the library's thread; nothing is connected yet
    for (const auto &node : deployment.discover_primary(service))
        std::cout << "primary " << node.endpoint() << '\n';
    for (const auto &node : deployment.discover_replicas(service))
        std::cout << "replica " << node.endpoint() << '\n';

    const sentinel::client primary = deployment.primary_for(service);
    // A client inherits the options of its deployment. What is set here is different for this client only.
    const sentinel::client replica = deployment.replica_for(service, sentinel::options().set("timeout_ms", 1s));
    std::cout << "SET foo bar: " << primary.command({"SET", "foo", "bar"}).str() << '\n';
    std::cout << "GET foo: " << read_until(replica, "foo", "bar").value_or("(not replicated yet)") << '\n';

    // One write for all, one reply with an element for each.
    const auto batch = sentinel::batch(sentinel::batch_kind::transaction)
                           .add({"DEL", "fruit"})
                           .add({"HSET", "fruit", "apples", 3, "pears", 5})
                           .add({"HGETALL", "fruit"});
    const sentinel::reply replies = primary.run(batch);
    for (const auto &[name, count] : replies[2].as<std::map<std::string, int>>())
        std::cout << name << ": " << count << '\n';
}

int main(int argc, char **argv) {
    if (argc < 3) {
        std::cerr << "usage: " << argv[0] << " SERVICE HOST:PORT [HOST:PORT...]\n";
        return 1;
    }
    try {
        sentinel::options options;
        for (int i = 2; i < argc; i++)
            add_sentinel(options, argv[i]);
        show(argv[1], options.set("timeout_ms", 2s));
        return 0;
    } catch (const sentinel::connection_error &error) {
        std::cerr << "no connection to " << argv[1] << ": " << error.what() << '\n';
        for (const auto attempt : error.attempts())
            std::cerr << "    " << attempt << '\n';
    } catch (const sentinel::error &error) {
        std::cerr << sentinel::name(error.status()) << ": " << error.what() << '\n';
    }
    return 1;
}
