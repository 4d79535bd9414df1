/*
 * needs: nothing. Failures without a server: what is misused, and what cannot be connected to.
 */
#include "check.hpp"

#include <map>

using namespace std::chrono_literals;

static sentinel::deployment nowhere() {
    return sentinel::deployment(sentinel::options().add_sentinel("127.0.0.1", 1));
}

static void no_sentinel_is_primary_not_found() {
    const sentinel::deployment deployment = nowhere();
    const sentinel::client client = deployment.primary_for("mymaster");
    bool caught_as_family = false;
    try {
        client.command({"PING"}, {200ms});
    } catch (const sentinel::connection_error &error) {
        caught_as_family = true;
        CHECK(error.status() == sentinel::status::primary_not_found);
        CHECK(error.reason() == sentinel::reason::no_sentinel_reachable);
        CHECK(error.outcome() == sentinel::outcome::not_sent);
        CHECK(error.is_connection_error() && !error.server_code());
        CHECK(!error.attempts().empty() && error.attempts()[0].find("127.0.0.1:1") != std::string_view::npos);
        CHECK_EQUAL(std::string(error.what()), error.message());
        const sentinel::error copy = error; // shares the texts
        CHECK(copy.attempts()[0].data() == error.attempts()[0].data());
    }
    CHECK(caught_as_family);
    CHECK_THROWS(sentinel::primary_not_found, client.command({"PING"}, {200ms}));
    CHECK_THROWS(sentinel::primary_not_found, client.connect(200ms));
    CHECK_THROWS(sentinel::primary_not_found, client.acquire(200ms));
    CHECK_THROWS(sentinel::primary_not_found, client.run(sentinel::batch().add({"PING"}), {200ms}));
    CHECK_THROWS(sentinel::primary_not_found, deployment.discover_primary("mymaster", 200ms));
    CHECK_THROWS(sentinel::replica_not_found, deployment.discover_replicas("mymaster", 200ms));
    CHECK_THROWS(sentinel::replica_not_found,
                 deployment.replica_for("mymaster", sentinel::options().set("replica.fallback_to_primary", 0))
                     .command({"PING"}, {200ms}));
    CHECK(!client.try_connect(200ms) && !client.try_acquire(200ms) && !client.try_command({"PING"}, {200ms}));
    CHECK(client.node().empty());
}

static void misuse_is_a_usage_error() {
    CHECK_THROWS_AND(sentinel::usage_error, sentinel::deployment(sentinel::options()),
                     CHECK(caught.status() == sentinel::status::invalid_argument));
    sentinel::options options;
    CHECK_THROWS_AND(sentinel::usage_error, options.set("no.such.key", 1), {
        CHECK(caught.status() == sentinel::status::unknown_option);
        CHECK(std::string(caught.what()).find("no.such.key") != std::string::npos);
    });
    CHECK_THROWS(sentinel::usage_error, options.set("timeout_ms", "soon"));
    CHECK_THROWS(sentinel::usage_error, options.set(std::string_view("database\0x", 10), 1));
    CHECK_THROWS(sentinel::usage_error, options.add_sentinel("127.0.0.1", 0));
    CHECK_THROWS(sentinel::usage_error, options.url("http://nowhere"));
    CHECK_THROWS(sentinel::usage_error, sentinel::deployment("redis+sentinel://"));
    options = sentinel::options().set("timeout_ms", 1s).set("database", 0).add_sentinel("127.0.0.1");
    CHECK(sentinel::deployment(options) && options);
    options.set("replica.select", "latency").set("timeout_ms", 2s).set_secret("password", "p\0q");
    options.log(SENTINEL_LOG_OFF, nullptr, nullptr);
    CHECK_THROWS_AND(sentinel::usage_error, nowhere().primary_for(),
                     CHECK(caught.status() == sentinel::status::invalid_argument));
    sentinel::options moved = std::move(options);
    CHECK(moved && !options);
    CHECK_THROWS(sentinel::usage_error, options.set("timeout_ms", 1));
}

static void what_is_closed_stays_closed() {
    const sentinel::deployment deployment = nowhere();
    const sentinel::client client = deployment.primary_for("mymaster");
    CHECK(deployment.try_close(10s).ok());
    CHECK_THROWS_AND(sentinel::closed, client.command({"PING"}), CHECK(!caught.is_connection_error()));
}

template <class Exception> static bool raises(sentinel_status_t status) {
    const sentinel::failure failure(status);
    try {
        failure.raise();
    } catch (const Exception &error) {
        CHECK(static_cast<sentinel_status_t>(error.status()) == status && *error.what() != '\0');
        bool same = false;
        try {
            std::rethrow_exception(failure.exception());
        } catch (const Exception &again) {
            same = typeid(again) == typeid(error);
        }
        return same && typeid(error) == typeid(Exception);
    } catch (...) {
    }
    return false;
}

static void every_status_has_its_class() {
    for (const sentinel_status_t status : {-100, -101, -102, -103, -104, -105, -106, -107})
        CHECK(raises<sentinel::usage_error>(status));
    CHECK(raises<sentinel::unsupported_command>(SENTINEL_ERR_UNSUPPORTED_COMMAND));
    CHECK(raises<sentinel::unavailable>(SENTINEL_ERR_UNAVAILABLE));
    CHECK(raises<sentinel::primary_not_found>(SENTINEL_ERR_PRIMARY_NOT_FOUND));
    CHECK(raises<sentinel::replica_not_found>(SENTINEL_ERR_REPLICA_NOT_FOUND));
    CHECK(raises<sentinel::connection_error>(SENTINEL_ERR_CONNECT));
    CHECK(raises<sentinel::connection_lost>(SENTINEL_ERR_CONNECTION_LOST));
    CHECK(raises<sentinel::connection_error>(SENTINEL_ERR_TLS));
    CHECK(raises<sentinel::auth_error>(SENTINEL_ERR_AUTH));
    CHECK(raises<sentinel::protocol_error>(SENTINEL_ERR_PROTOCOL));
    CHECK(raises<sentinel::timeout>(SENTINEL_ERR_TIMEOUT));
    CHECK(raises<sentinel::server_error>(SENTINEL_ERR_SERVER));
    CHECK(raises<sentinel::readonly_error>(SENTINEL_ERR_READONLY));
    CHECK(raises<sentinel::server_error>(SENTINEL_ERR_LOADING));
    CHECK(raises<sentinel::transaction_aborted>(SENTINEL_ERR_TRANSACTION_ABORTED));
    CHECK(raises<sentinel::not_replicated>(SENTINEL_ERR_NOT_REPLICATED));
    CHECK(raises<sentinel::limit_error>(SENTINEL_ERR_POOL_EXHAUSTED));
    CHECK(raises<sentinel::limit_error>(SENTINEL_ERR_QUEUE_FULL));
    CHECK(raises<sentinel::cancelled>(SENTINEL_ERR_CANCELLED));
    CHECK(raises<sentinel::closed>(SENTINEL_ERR_CLOSED));
    CHECK(raises<sentinel::internal_error>(SENTINEL_ERR_INTERNAL));
    CHECK(raises<sentinel::internal_error>(SENTINEL_ERR_PANIC));
    // Statuses of a later library find their family.
    CHECK(raises<sentinel::connection_error>(-399));
    CHECK(raises<sentinel::server_error>(-499));
}

int main() {
    return check::run([] {
        no_sentinel_is_primary_not_found();
        misuse_is_a_usage_error();
        what_is_closed_stays_closed();
        every_status_has_its_class();
    });
}
