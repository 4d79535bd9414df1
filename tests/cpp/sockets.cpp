/*
 * needs: topology. A socket of a client's, and one that it serves.
 */
#include "check.hpp"

#include <sys/socket.h>
#include <unistd.h>

static std::string asked(int fd, const std::string &text, std::size_t len) {
    CHECK(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    std::string answer(len, '\0');
    for (std::size_t got = 0; got < len;) {
        const ssize_t n = read(fd, &answer[got], len - got);
        CHECK(n > 0);
        got += static_cast<std::size_t>(n);
    }
    return answer;
}

static void sockets_speak_resp(const sentinel::client &client) {
    const int fd = client.socket();
    CHECK_EQUAL("+OK\r\n$1\r\n7\r\n", asked(fd, "SET cpp:socket 7\r\nGET cpp:socket\r\n", 12));
    close(fd);
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    client.serve(pair[0]);
    CHECK_EQUAL("+PONG\r\n", asked(pair[1], "PING\r\n", 7));
    close(pair[1]);
    CHECK_THROWS_AND(sentinel::usage_error, client.serve(-1),
                     CHECK(std::string(caught.what()).find("fd: -1 is no open descriptor") != std::string::npos));
    CHECK(!client.try_serve(-1).ok());
}

int main(int argc, char **argv) {
    return check::run([&] {
        const sentinel::options options = check::options_of(argc, argv);
        const sentinel::deployment deployment(options);
        sockets_speak_resp(deployment.primary_for(argv[1]));
    });
}
