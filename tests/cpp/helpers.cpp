/*
 * needs: topology. Scripts by name, scans as ranges, writes that disks confirm, other logins, the version.
 */
#include "check.hpp"

#include <map>
#include <set>
#include <vector>

using namespace std::chrono_literals;
using namespace std::string_view_literals;

static void scripts_run_by_name(const sentinel::client &client, const sentinel::client &replica) {
    const sentinel::script same("return 1");
    CHECK_EQUAL("e0e1f9fabfc9d4800c877a703b823ac0578ff8db", same.sha1());
    CHECK_EQUAL(1, client.run(same).as<int>());
    const std::string source = "redis.call('SET', KEYS[1], ARGV[1]) return {#KEYS, #ARGV, ARGV[2]}";
    const sentinel::script writer(source);
    for (int run = 0; run < 2; run++) { // the second time the server has it
        const sentinel::reply counts = client.run(writer, {"cpp:script"}, {"a\0b"sv, 7});
        CHECK(counts[0].as<int>() == 1 && counts[1].as<int>() == 2 && counts[2].text() == "7");
    }
    const sentinel::script reader("return redis.call('GET', KEYS[1])", sentinel::script_kind::read_only);
    CHECK_EQUAL("a\0b"sv, client.run(reader, {"cpp:script"}, {}, {30s}).str());
    CHECK(replica.try_run(reader, {"cpp:script"}).ok());
    const sentinel::script liar(source, sentinel::script_kind::read_only);
    CHECK_THROWS(sentinel::server_error, client.run(liar, {"cpp:script"}, {"x", "y"}));
    const sentinel::script failing("redis.call('SET', KEYS[1], 'half') return redis.call('LPUSH', KEYS[1], 'x')");
    const auto failed = client.try_run(failing, {"cpp:script"});
    CHECK(!failed && failed.error().status() == sentinel::status::server);
    CHECK(failed.error().outcome() == sentinel::outcome::unknown);
    CHECK_EQUAL("half", client.command({"GET", "cpp:script"}).str());
    CHECK_THROWS(sentinel::usage_error, sentinel::script("return 1", static_cast<sentinel::script_kind>(8)));
    sentinel::script moved("return 2");
    const sentinel::script owner = std::move(moved);
    CHECK(!moved && moved.sha1().empty());
    CHECK_THROWS(sentinel::usage_error, client.run(moved));
    CHECK_EQUAL(2, client.run(owner).as<int>());
}

static void scans_are_ranges(const sentinel::client &client) {
    std::vector<std::string> fill{"HSET", "cpp:scanned"};
    for (int i = 0; i < 600; i++) {
        fill.push_back("field:" + std::to_string(i));
        fill.push_back(std::to_string(i));
    }
    client.command({"DEL", "cpp:scanned"});
    client.command(fill);
    sentinel::scan scan(client, {"HSCAN", "cpp:scanned", "COUNT", 50}, {30s});
    std::set<std::string> elements;
    for (const sentinel::value element : scan)
        elements.insert(element.str());
    CHECK_EQUAL(1200u, elements.size()); // nothing changes meanwhile
    CHECK(scan.begin() == scan.end());
    scan.restart();
    std::map<std::string, int> pairs;
    for (const auto [field, number] : scan.pairs())
        pairs.emplace(field.str(), number.as<int>());
    CHECK_EQUAL(600u, pairs.size());
    CHECK_EQUAL(599, pairs.at("field:599"));

    scan.restart();
    std::size_t pages = 0, sum = 0;
    while (const auto page = scan.next()) {
        pages++;
        sum += page->pairs().size();
    }
    CHECK(pages > 1);
    CHECK_EQUAL(600u, sum);
    CHECK(scan.try_next().ok() && !scan.try_next().value());
    CHECK_THROWS(std::bad_optional_access, scan.next().value());

    // A page that nobody keeps lives as long as the loop over it.
    scan.restart();
    std::size_t first = 0;
    for (const auto field : scan.next().value())
        first += field.str().empty() ? 0 : 1;
    CHECK(first > 0);

    // A loop that was left goes on where it was, also in another owner.
    scan.restart();
    const std::string left = (*scan.begin()).str();
    sentinel::scan owner = std::move(scan);
    CHECK_EQUAL(left, (*owner.begin()).str());
    CHECK_THROWS_AND(sentinel::usage_error, scan.begin(), CHECK(caught.status() == sentinel::status::null_argument));
    CHECK_EQUAL(1200, std::distance(owner.begin(), owner.end()));
    owner.restart();
    CHECK(owner.begin() != owner.end());
    owner.restart(); // nothing is left of the page that was at hand
    CHECK_EQUAL(1200, std::distance(owner.begin(), owner.end()));
}

static void scans_begin_at_any_page(const sentinel::client &client) {
    // Most pages are empty, and elements are as often no pairs.
    std::string found;
    for (const auto key : sentinel::scan(client, {"SCAN", "MATCH", "cpp:scanned", "COUNT", 1}))
        found += key.text();
    CHECK_EQUAL("cpp:scanned", found);
    for (const auto element : sentinel::scan(client, {"SSCAN", "cpp:no-such-key"}))
        check::fail(__FILE__, __LINE__, element.str());
    CHECK_THROWS(sentinel::usage_error, sentinel::scan(client, {"KEYS", "*"}));
    sentinel::scan wrong(client, {"SSCAN", "cpp:scanned"});
    const auto refused = wrong.try_next();
    CHECK(refused.error().server_code() == "WRONGTYPE");
    CHECK_THROWS(sentinel::server_error, wrong.begin());
}

/* What a page that failed leaves of the elements: each once, though the loop was entered anew. */
static void a_loop_that_failed_goes_on(const sentinel::deployment &deployment, const sentinel::client &client,
                                       const char *service) {
    client.command({"ACL", "SETUSER", "cpp:scanner", "reset", "on", ">secret", "~*", "+@all"});
    const sentinel::client scanner = deployment.primary_for(
        service, sentinel::options().set("username", "cpp:scanner").set_secret("password", "secret"));
    sentinel::scan scan(scanner, {"HSCAN", "cpp:scanned", "COUNT", 50});
    std::size_t count = 0;
    int failures = 0;
    for (bool ended = false; !ended;) {
        try {
            for (auto at = scan.begin(); at != scan.end(); ++at)
                if (count++ == 0)
                    client.command({"ACL", "SETUSER", "cpp:scanner", "-hscan"});
            ended = true;
        } catch (const sentinel::server_error &refused) {
            CHECK_EQUAL("NOPERM", refused.server_code().value_or(""));
            if (failures++ > 0)
                client.command({"ACL", "SETUSER", "cpp:scanner", "+hscan"});
        }
    }
    CHECK_EQUAL(2, failures);
    CHECK_EQUAL(1200u, count);
    client.command({"ACL", "DELUSER", "cpp:scanner"});
}

static void scans_outlive_their_client(const sentinel::options &options, const char *service) {
    std::optional<sentinel::deployment> deployment(std::in_place, options);
    sentinel::scan scan(deployment->primary_for(service), {"HSCAN", "cpp:scanned"});
    CHECK(scan.next());
    deployment->close(10s);
    CHECK_THROWS(sentinel::closed, scan.next());
    CHECK(scan.try_next().error().status() == sentinel::status::closed);
    deployment.reset();
}

/* A server without WAITAOF, or without an append-only file, refuses before the write. */
static void disks_confirm_or_nothing_is_written(const sentinel::client &client) {
    sentinel::call_options on_disk;
    on_disk.wait_aof = true;
    CHECK_THROWS_AND(sentinel::server_error, client.command({"SET", "cpp:aof", 1}, on_disk), {
        CHECK(caught.outcome() == sentinel::outcome::not_sent);
        CHECK(caught.message().find("WAITAOF") != std::string_view::npos);
    });
    CHECK(client.command({"GET", "cpp:aof"}).is_nil());
}

static void becomes(const sentinel::client &client, std::string_view user) {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (client.command({"ACL", "WHOAMI"}).str() != user)
        CHECK(std::chrono::steady_clock::now() < deadline);
}

static void logins_are_replaced(const sentinel::options &options, const sentinel::client &admin, const char *service) {
    admin.command({"ACL", "SETUSER", "cpp:user", "reset", "on", ">s\0cret"sv, "~*", "&*", "+@all"});
    const sentinel::deployment deployment(options);
    const sentinel::client client = deployment.primary_for(service);
    becomes(client, "default");
    deployment.update_credentials("cpp:user", "s\0cret"sv);
    becomes(client, "cpp:user");
    CHECK(deployment.try_update_credentials(nullptr, "").ok());
    becomes(client, "default");
    admin.command({"ACL", "DELUSER", "cpp:user"});
    CHECK_THROWS(sentinel::usage_error, deployment.update_credentials("cpp\0user"sv, "secret"));
    deployment.close(10s);
    CHECK_THROWS(sentinel::closed, deployment.update_credentials({}, "secret"));
    CHECK(deployment.try_update_credentials({}, "secret").error().status() == sentinel::status::closed);
}

static void sentinels_are_replaced(const sentinel::options &options, const char *service) {
    const sentinel::deployment deployment(options);
    CHECK_EQUAL(1u, deployment.discover_primary(service).size());
    deployment.update_sentinels(options);
    CHECK_EQUAL(1u, deployment.discover_primary(service).size());
    CHECK(deployment.try_update_sentinels(sentinel::options()).error().status() == sentinel::status::invalid_argument);
}

static void logins_at_sentinels_are_replaced(const sentinel::options &options, const char *service) {
    const sentinel::deployment deployment(options);
    deployment.update_sentinel_credentials("cpp:nobody", "wrong");
    CHECK(deployment.try_discover_primary(service, 2s).error().reason() == sentinel::reason::sentinel_auth);
    CHECK(deployment.try_update_sentinel_credentials({}, {}).ok());
    CHECK_EQUAL(1u, deployment.discover_primary(service).size());
}

int main(int argc, char **argv) {
    return check::run([&] {
        CHECK_EQUAL(sentinel::version_number(), static_cast<std::uint32_t>(SENTINEL_VERSION_NUMBER));
        CHECK_EQUAL(std::to_string(SENTINEL_VERSION_MAJOR) + '.',
                    std::string(sentinel::version().substr(0, sentinel::version().find('.') + 1)));
        const sentinel::options options = check::options_of(argc, argv);
        const sentinel::deployment deployment(options);
        const sentinel::client client = deployment.primary_for(argv[1]);
        scripts_run_by_name(client, deployment.replica_for(argv[1]));
        scans_are_ranges(client);
        scans_begin_at_any_page(client);
        a_loop_that_failed_goes_on(deployment, client, argv[1]);
        scans_outlive_their_client(options, argv[1]);
        disks_confirm_or_nothing_is_written(client);
        logins_are_replaced(options, client, argv[1]);
        logins_at_sentinels_are_replaced(options, argv[1]);
        sentinels_are_replaced(options, argv[1]);
    });
}
