/*
 * Send a thousand commands in one write, and a few as one transaction.
 *
 *     pipeline SERVICE HOST:PORT [HOST:PORT...]
 *
 * Each HOST:PORT is a Sentinel.
 */
#include <sentinel.hpp>

#include <cstdlib>
#include <iostream>

static void show(const sentinel::client &client) {
    sentinel::batch counting(sentinel::batch_kind::pipeline);
    counting.add({"DEL", "counter"});
    for (int i = 0; i < 1000; i++)
        counting.add({"INCR", "counter"});
    const sentinel::reply counted = client.run(counting);
    std::int64_t sum = 0;
    for (std::size_t i = 1; i < counted.size(); i++)
        sum += counted[i].as<std::int64_t>();
    std::cout << "the sum of 1 to 1000 is " << sum << '\n';

    // Nothing comes between the commands of a transaction.
    const sentinel::reply moved = client.run(sentinel::batch(sentinel::batch_kind::transaction)
                                                 .add({"MSET", "from", 100, "to", 0})
                                                 .add({"DECRBY", "from", 30})
                                                 .add({"INCRBY", "to", 30}));
    std::cout << "from " << moved[1].as<int>() << ", to " << moved[2].as<int>() << '\n';
}

int main(int argc, char **argv) {
    if (argc < 3) {
        std::cerr << "usage: " << argv[0] << " SERVICE HOST:PORT [HOST:PORT...]\n";
        return 1;
    }
    try {
        sentinel::options options;
        for (int i = 2; i < argc; i++) {
            const std::string endpoint = argv[i];
            const auto colon = endpoint.rfind(':');
            const int port = colon != std::string::npos ? std::atoi(endpoint.c_str() + colon + 1) : 26379;
            options.add_sentinel(endpoint.substr(0, colon), static_cast<std::uint16_t>(port));
        }
        const sentinel::deployment deployment(options);
        show(deployment.primary_for(argv[1]));
        return 0;
    } catch (const sentinel::error &error) {
        std::cerr << sentinel::name(error.status()) << ": " << error.what() << '\n';
        return 1;
    }
}
