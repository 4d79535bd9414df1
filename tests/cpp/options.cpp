/*
 * needs: nothing. The options as the library lists them, and what sentinel::options knows of them.
 */
#include "check.hpp"

#include <chrono>
#include <set>

static sentinel::options some() { return sentinel::options().add_sentinel("127.0.0.1"); }

int main() {
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
