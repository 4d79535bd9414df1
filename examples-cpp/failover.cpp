/*
 * Write twenty times a second, whatever happens to the primary, and say when it moved and what failed.
 *
 *     failover SERVICE HOST:PORT [HOST:PORT...]
 *
 * Each HOST:PORT is a Sentinel. Ends on SIGINT or SIGTERM, or after FAILOVER_SECONDS seconds, with a summary.
 */
#include <sentinel.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <thread>

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

static volatile std::sig_atomic_t stop;

struct summary {
    unsigned long acknowledged = 0, failed = 0, moves = 0;
    steady::duration outage{};
};

static std::string_view name(sentinel::outcome outcome) {
    switch (outcome) {
    case sentinel::outcome::not_sent: return "NOT_SENT";
    case sentinel::outcome::refused: return "REFUSED";
    case sentinel::outcome::unknown: break;
    }
    return "UNKNOWN";
}

/* SET failover:<n> <n>. Whether the primary has acknowledged it. */
static bool write_one(const sentinel::client &client, unsigned long n) {
    const std::string key = "failover:" + std::to_string(n);
    try {
        // No call options: the write may take the default timeout_ms, 5 s. In a failover it waits for the new primary.
        client.command({"SET", key, n});
        return true;
    } catch (const sentinel::connection_error &error) {
        // not_sent and refused are certain: it was not executed. After unknown it may have been, so a program that must
        // know reads the key back; this one counts it as failed.
        std::cout << "  failed: " << key << ' ' << sentinel::name(error.status())
                  << " outcome=" << name(error.outcome()) << std::endl;
        return false;
    }
}

static summary write_until_stopped(const sentinel::client &client, std::chrono::seconds limit) {
    summary all;
    std::string serving;
    const auto start = steady::now();
    auto last_ok = start, next = start;
    for (unsigned long n = 1; !stop && (limit <= 0s || steady::now() < start + limit); n++) {
        const bool ok = write_one(client, n);
        const auto end = steady::now();
        all.outage = std::max(all.outage, end - last_ok); // counts on while nothing succeeds
        ++(ok ? all.acknowledged : all.failed);
        if (ok)
            last_ok = end;
        const sentinel::nodes nodes = client.node();
        if (!nodes.empty() && nodes[0].endpoint() != serving) {
            all.moves += !serving.empty();
            serving = nodes[0].endpoint();
            std::cout << "primary " << serving << std::endl;
        }
        next = std::max(next + 50ms, end); // a slow call is not followed by a burst
        std::this_thread::sleep_until(next);
    }
    return all;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        std::cerr << "usage: " << argv[0] << " SERVICE HOST:PORT [HOST:PORT...]\n";
        return 1;
    }
    std::signal(SIGINT, [](int) { stop = 1; });
    std::signal(SIGTERM, [](int) { stop = 1; });
    try {
        sentinel::options options;
        for (int i = 2; i < argc; i++) {
            const std::string endpoint = argv[i];
            const auto colon = endpoint.rfind(':');
            const int port = colon != std::string::npos ? std::atoi(endpoint.c_str() + colon + 1) : 26379;
            options.add_sentinel(endpoint.substr(0, colon), static_cast<std::uint16_t>(port));
        }
        const sentinel::deployment deployment(options);
        const sentinel::client client = deployment.primary_for(argv[1]);
        // Not needed, the first command connects as well: but a wrong service name is better said at the start.
        client.connect(10s);
        const char *seconds = std::getenv("FAILOVER_SECONDS");
        const std::chrono::seconds limit(seconds != nullptr ? std::atol(seconds) : 0);
        const summary all = write_until_stopped(client, limit);
        std::cout << "summary acknowledged=" << all.acknowledged << " failed=" << all.failed << " moves=" << all.moves
                  << " outage_ms=" << std::chrono::duration_cast<std::chrono::milliseconds>(all.outage).count()
                  << std::endl;
        return 0;
    } catch (const sentinel::error &error) {
        std::cerr << sentinel::name(error.status()) << ": " << error.what() << '\n';
        return 1;
    }
}
