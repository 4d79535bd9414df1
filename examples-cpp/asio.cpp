/*
 * asio SERVICE HOST:PORT...: the same io_context serves timers, sockets and Redis.
 * header: asio.hpp
 *
 * A request a millisecond, as a server's clients would send them. The tag of a completion leads back to its request;
 * none of them waits for another.
 */
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <sentinel/adapters/asio.hpp>

#include <iostream>

namespace {

constexpr std::size_t all = 1000;

class server {
public:
    server(asio::io_context &context, const sentinel::deployment &deployment, const char *service)
        : primary_(deployment.primary_for(service)), queue_(deployment, all), clock_(context),
          adapter_(context, queue_, [this](sentinel::completion done) { answer(std::move(done)); }) {
        arrive();
    }

    std::size_t answered() const { return answered_; }
    std::size_t failed() const { return failed_; }

private:
    /* The next request arrives. */
    void arrive() {
        primary_.submit(queue_, {"INCR", "request:" + std::to_string(begun_ % 10)}, begun_);
        if (++begun_ == all)
            return;
        clock_.expires_after(std::chrono::milliseconds(1));
        clock_.async_wait([this](std::error_code) { arrive(); });
    }

    void answer(sentinel::completion done) {
        answered_++;
        if (!done.answer) {
            failed_++;
            std::cerr << "request " << done.tag << ": " << done.answer.error().message() << '\n';
        }
        if (answered_ == all)
            adapter_.detach(); // nothing is left for the context to do: run() returns
    }

    sentinel::client primary_;
    sentinel::queue queue_;
    asio::steady_timer clock_;
    sentinel::asio_adapter adapter_; // destroyed before the queue
    std::size_t begun_ = 0, answered_ = 0, failed_ = 0;
};

} // namespace

int main(int argc, char **argv) {
    if (argc < 3) {
        std::cerr << "usage: " << argv[0] << " SERVICE HOST:PORT...\n";
        return 2;
    }
    try {
        std::string url = "redis+sentinel://";
        for (int i = 2; i < argc; i++)
            url.append(i > 2 ? "," : "").append(argv[i]);
        const sentinel::deployment deployment{std::string_view(url)};
        asio::io_context context;
        const server server(context, deployment, argv[1]);
        context.run();
        std::cout << server.answered() << " requests answered, " << server.failed() << " failed\n";
        return server.failed() != 0;
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
