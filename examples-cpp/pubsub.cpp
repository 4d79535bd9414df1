/*
 * Publish three messages and print what arrives. The subscription follows the service through failovers.
 *
 *     pubsub SERVICE HOST:PORT [HOST:PORT...]
 *
 * Each HOST:PORT is a Sentinel. Ends with status 77 when this version of the library has no subscriptions.
 */
#include <sentinel.hpp>

#include <cstdlib>
#include <iostream>

using namespace std::chrono_literals;

static void show(const sentinel::deployment &deployment, const sentinel::client &client) {
    const sentinel::queue queue(deployment, 1024);
    const sentinel::subscription news(client, queue, 1);
    news.add("news", sentinel::channel_kind::channel, true); // true: an event tells when it is in force
    int heard = 0;
    while (heard < 3) {
        const auto arrived = queue.poll(16, 10s);
        if (arrived.empty())
            throw std::runtime_error("nothing arrives");
        for (const auto &one : arrived) {
            const sentinel::reply &what = one.answer.value();
            if (one.kind == sentinel::completion_kind::message) {
                std::cout << what[1].text() << ": " << what[2].text() << '\n';
                heard++;
                continue;
            }
            // An event: the server knows of the subscription from here on, so what is published now arrives.
            for (int i = 0; i < 3; i++)
                client.command({"PUBLISH", "news", "message " + std::to_string(i)});
        }
    }
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
        show(deployment, deployment.primary_for(argv[1]));
        return 0;
    } catch (const sentinel::unavailable &error) {
        std::cerr << error.what() << '\n';
        return 77;
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
