/*
 * needs: nothing. The options as the library lists them, and what sentinel::options knows of them.
 */
#include "check.hpp"

#include <chrono>
#include <set>

static sentinel::options some() { return sentinel::options().add_sentinel("127.0.0.1"); }

/* What is wrong is refused by a message that begins with its name. */
template <class T> void refused(sentinel::status expected, std::string_view name, const sentinel::result<T> &result) {
    CHECK(!result.has_value());
    CHECK(result.error().status() == expected);
    CHECK_EQUAL(name, result.error().message().substr(0, name.size()));
}

/* As std::getenv gives what is not there. */
static void null_pointers() {
    using sentinel::status;
    const char *none = nullptr;
    sentinel::options options;
    refused(status::null_argument, "url is NULL", options.try_url(none));
    refused(status::null_argument, "host is NULL", options.try_add_sentinel(none));
    refused(status::null_argument, "key is NULL", options.try_set(none, 1));
    refused(status::null_argument, "password is NULL", options.try_set("password", none));
    refused(status::null_argument, "password is NULL", options.try_set_secret("password", none));
    refused(status::null_argument, "url is NULL", sentinel::deployment::try_open(none));
    CHECK_THROWS(sentinel::usage_error, sentinel::script(none));
    const sentinel::deployment own(some());
    refused(status::null_argument, "name is NULL", own.try_metric(none));
    refused(status::null_argument, "password is NULL", own.try_update_credentials("user", none));
    refused(status::null_argument, "password is NULL", own.try_update_sentinel_credentials("user", none));
    const sentinel::client client = own.primary_for("mymaster");
    const sentinel::queue queue(own, 1);
    const sentinel::subscription subscription(client, queue, 0);
    refused(status::null_argument, "channel is NULL", subscription.try_add(none));
    refused(status::null_argument, "channel is NULL", subscription.try_remove(none));
    CHECK(options.try_set_secret("password", std::string_view()).has_value()); // none at all
}

static void texts_that_end_too_soon() {
    using sentinel::status;
    const std::string text("a\0b", 3);
    sentinel::options options;
    refused(status::invalid_argument, "url: ", options.try_url(text));
    refused(status::invalid_argument, "host: ", options.try_add_sentinel(text));
    refused(status::invalid_argument, "key: ", options.try_set(text, 1));
    refused(status::invalid_argument, "client_name: ", options.try_set("client_name", text));
    const sentinel::deployment own(some());
    refused(status::invalid_argument, "name: ", own.try_metric(text));
    refused(status::invalid_argument, "service: ", own.try_primary_for(text));
    refused(status::invalid_argument, "service: ", own.try_discover_primary(text));
    refused(status::invalid_argument, "username: ", own.try_update_credentials(text, "password"));
}

static std::string in_force(const sentinel::options &with, const std::string &key) {
    const std::string all = sentinel::deployment(with).describe(), name = '"' + key + "\":";
    const std::size_t begin = all.find(name) + name.size();
    return all.substr(begin, all.find_first_of(",}", begin) - begin);
}

/* A time is set in the unit that the key counts, and where it counts none, it is refused. */
static void times_and_numbers() {
    using namespace std::chrono_literals;
    using sentinel::status;
    CHECK_EQUAL("30", in_force(some().set("tcp.keepalive_s", 30s), "tcp.keepalive_s"));
    CHECK_EQUAL("120", in_force(some().set("tcp.keepalive_s", 2min), "tcp.keepalive_s"));
    CHECK_EQUAL("2000", in_force(some().set("timeout_ms", 2s), "timeout_ms"));
    CHECK_EQUAL("-1", in_force(some().set("timeout_ms", sentinel::no_limit), "timeout_ms"));
    CHECK_EQUAL("7", in_force(some().set("max_pending", 7u), "max_pending"));
    CHECK_EQUAL("1", in_force(some().set("tls", true), "tls"));
    refused(status::invalid_argument, "tcp.keepalive_s: ", some().try_set("tcp.keepalive_s", 1500ms));
    refused(status::invalid_argument, "max_pending: ", some().try_set("max_pending", 2s));
    refused(status::invalid_argument, "tls: ", some().try_set("tls", 1ms));
    refused(status::invalid_argument, "replica.max_lag_bytes: ", some().try_set("replica.max_lag_bytes", 1ms));
    refused(status::unknown_option, "no.such_ms: ", some().try_set("no.such_ms", 1ms));
    // As a number of 64 bits with a sign it would be -1: no limit.
    refused(status::invalid_argument, "timeout_ms: ", some().try_set("timeout_ms", ~std::uint64_t{0}));
}

/* Overrides that were moved away are not the same as none. */
static void overrides_that_are_gone() {
    const sentinel::deployment own(some());
    sentinel::options overrides;
    const sentinel::options elsewhere = std::move(overrides);
    refused(sentinel::status::null_argument, "overrides is NULL", own.try_primary_for("mymaster", overrides));
    refused(sentinel::status::null_argument, "overrides is NULL", own.try_replica_for("mymaster", overrides));
    CHECK(own.try_primary_for("mymaster", elsewhere).has_value());
}

int main() {
    null_pointers();
    texts_that_end_too_soon();
    times_and_numbers();
    overrides_that_are_gone();
    std::set<std::string_view> names;
    for (const sentinel::option_key &key : sentinel::options::keys()) {
        CHECK(names.insert(key.name).second && !key.help.empty());
        CHECK(key.for_sentinels || key.for_clients);
        const sentinel::deployment own(some().set(key.name, key.default_value));
        // As an override of one client.
        const auto client = own.try_primary_for("mymaster", sentinel::options().set(key.name, key.default_value));
        CHECK_EQUAL(key.for_clients, client.has_value());

        const bool number = key.kind == sentinel::option_kind::integer || key.kind == sentinel::option_kind::limit ||
                            key.kind == sentinel::option_kind::flag;
        CHECK_EQUAL(number, some().try_set(key.name, key.max).has_value());
        if (number)
            CHECK(some().try_set(key.name, key.min).has_value());
        // A time is set in milliseconds: the name says so, as options::set asks.
        const bool in_ms = key.name.size() > 3 && key.name.substr(key.name.size() - 3) == "_ms";
        CHECK_EQUAL(in_ms, key.unit == "ms");
        if (in_ms)
            CHECK(some().try_set(key.name, std::chrono::milliseconds(key.max)).has_value());
        const bool secret = key.kind == sentinel::option_kind::user || key.kind == sentinel::option_kind::secret;
        CHECK_EQUAL(secret, some().try_set_secret(key.name, "x").has_value());
        CHECK_EQUAL(key.kind == sentinel::option_kind::choice, !key.words.empty());
        for (const std::string_view word : key.words)
            CHECK(some().try_set(key.name, word).has_value());
    }
    CHECK(names.size() > 40 && names.count("replica.select") == 1);
    return 0;
}
