/*
 * consumer VERSION: whether the library is of this version and works as far as it does without a server.
 */
#include <sentinel.hpp>

#include <iostream>

extern "C" const char *plain_version(void);

int main(int argc, char **argv)
{
    if (argc != 2 || plain_version() != std::string_view(argv[1])) {
        std::cerr << "the library is of version " << plain_version() << '\n';
        return 1;
    }
    const sentinel::deployment deployment(sentinel::options().add_sentinel("127.0.0.1", 1));
    try {
        deployment.primary_for("mymaster").command({"PING"}, {std::chrono::milliseconds(100)});
    } catch (const sentinel::primary_not_found &error) {
        std::cout << "ok\n";
        return 0;
    }
    return 1;
}
