/*
 * needs: topology. Replies of every type, with RESP3 and RESP2: conversions, ranges, pairs, nested errors, binary data.
 */
#include "check.hpp"

#include <limits>
#include <list>
#include <map>
#include <set>
#include <unordered_map>
#include <vector>

using namespace std::string_view_literals;
using sentinel::type;

static void scalars(const sentinel::client &client) {
    CHECK(client.command({"SET", "cpp:key", "bar"}).type() == type::status);
    CHECK_EQUAL("OK", client.command({"SET", "cpp:key", "bar"}).str());
    const sentinel::reply string = client.command({"GET", "cpp:key"});
    CHECK(string.type() == type::string && string && !string.is_nil() && !string.is_error());
    CHECK_EQUAL("bar", string.str());
    CHECK_EQUAL("bar", string.as<std::string>());
    CHECK_EQUAL(0, string.integer());
    CHECK_THROWS_AND(sentinel::type_mismatch, string.as<int>(),
                     CHECK(caught.status() == sentinel::status::invalid_argument));
    CHECK_THROWS(sentinel::type_mismatch, string.as<std::vector<std::string>>());

    client.command({"SET", "cpp:n", 41});
    const sentinel::reply integer = client.command({"INCR", "cpp:n"});
    CHECK(integer.type() == type::integer && !integer.text_if());
    CHECK_EQUAL(42, integer.integer());
    CHECK_EQUAL(42, integer.as<int>());
    CHECK_EQUAL(42.0, integer.as<double>());
    CHECK_EQUAL("42", integer.as<std::string>());
    CHECK_EQUAL(42u, client.command({"GET", "cpp:n"}).as<unsigned>()); // a string that is a number
    CHECK(client.command({"EXISTS", "cpp:n"}).as<bool>());

    const sentinel::reply nil = client.command({"GET", "cpp:no-such-key"});
    CHECK(nil.is_nil() && !nil && !nil.text_if() && nil.empty() && nil.str().empty());
    CHECK(!nil.as<std::optional<std::string>>());
    CHECK(client.command({"GET", "cpp:key"}).as<std::optional<std::string>>() == "bar");
    CHECK_THROWS(sentinel::type_mismatch, nil.as<std::string>());
}

static void numbers_keep_their_size_and_digits(const sentinel::client &client) {
    const auto sent = [&](const sentinel::argument &one) {
        sentinel::arguments args{"ECHO"};
        return client.command(args.add(one));
    };
    CHECK_EQUAL("-128", sent(static_cast<signed char>(-128)).str());
    CHECK_EQUAL(-128, sent(-128).as<signed char>());
    CHECK_THROWS(sentinel::type_mismatch, sent(-129).as<signed char>());
    CHECK_THROWS(sentinel::type_mismatch, sent(-1).as<unsigned>());
    CHECK_THROWS(sentinel::type_mismatch, sent("12x").as<int>());
    CHECK_THROWS(sentinel::type_mismatch, sent("").as<int>());
    const auto largest = std::numeric_limits<std::uint64_t>::max();
    CHECK_EQUAL(largest, sent(largest).as<std::uint64_t>());
    const auto least = std::numeric_limits<std::int64_t>::min();
    CHECK_EQUAL(least, sent(least).as<std::int64_t>());
    const sentinel::reply minus = client.command({"EVAL", "return -1", 0});
    CHECK_EQUAL(-1, minus.as<short>());
    CHECK_THROWS(sentinel::type_mismatch, minus.as<std::uint64_t>());
    CHECK_EQUAL(0.1, sent(0.1).as<double>());
    CHECK_EQUAL("0.1", sent(0.1).str());
    for (const double number : {std::numeric_limits<double>::min(), std::numeric_limits<double>::max(), -1e-300 / 3})
        CHECK_EQUAL(number, sent(number).as<double>());
    CHECK_THROWS(sentinel::type_mismatch, sent("0,1").as<double>());
    CHECK_THROWS(sentinel::type_mismatch, sent("1.5 ").as<double>());
    client.command({"DEL", "cpp:z"});
    client.command({"ZADD", "cpp:z", 1.25, "m", "-inf", "low"});
    CHECK_EQUAL(1.25, client.command({"ZSCORE", "cpp:z", "m"}).as<double>());
    CHECK_EQUAL(-std::numeric_limits<double>::infinity(), client.command({"ZSCORE", "cpp:z", "low"}).as<double>());
    const double none = client.command({"ECHO", "nan"}).as<double>();
    CHECK(none != none);
    CHECK_EQUAL("1", client.command({"ECHO", true}).str());
    CHECK_EQUAL("0", client.command({"ECHO", false}).str());
    const char *missing = nullptr;
    CHECK_THROWS(sentinel::usage_error, client.command({"ECHO", missing}));
}

static void bytes_are_kept(const sentinel::client &client) {
    std::string all(256, '\0');
    for (std::size_t i = 0; i < all.size(); i++)
        all[i] = static_cast<char>(i);
    client.command({"SET", "cpp:\0key"sv, all});
    CHECK(client.command({"GET", "cpp:\0key"sv}).str() == all);
    CHECK(client.command({"GET", "cpp:"}).is_nil());
    CHECK_EQUAL("\r\n$-1\r\n"sv, client.command({"ECHO", "\r\n$-1\r\n"}).str());
    // Empty is not nil, with an address or without.
    client.command({"SET", "cpp:empty", std::string_view()});
    const sentinel::reply empty = client.command({"GET", "cpp:empty"});
    CHECK(empty.type() == type::string && empty && empty.text_if() == "" && empty.as<std::string>().empty());
    const std::string large(1 << 20, 'x');
    client.command({"SET", "cpp:large", large});
    CHECK(client.command({"GET", "cpp:large"}).str() == large);
    CHECK_EQUAL(1, client.command({"DEL", "cpp:large"}).integer());
}

static void lists_are_ranges(const sentinel::client &client) {
    client.command({"DEL", "cpp:list", "cpp:set"});
    client.command({"RPUSH", "cpp:list", "a", "b", "c", 4});
    std::string joined;
    for (const sentinel::value element : client.command({"LRANGE", "cpp:list", 0, -1}))
        joined += element.text();
    CHECK_EQUAL("abc4", joined);
    const sentinel::reply list = client.command({"LRANGE", "cpp:list", 0, -1});
    CHECK(list.type() == type::array && !list.empty());
    CHECK_EQUAL(4u, list.size());
    CHECK_EQUAL("a", list[0].text());
    CHECK_EQUAL("c", list.at(2).text());
    CHECK(list[4].is_nil());
    CHECK_THROWS(sentinel::usage_error, list.at(4));
    CHECK_EQUAL(4, std::distance(list.begin(), list.end()));
    CHECK((list.as<std::vector<std::string>>() == std::vector<std::string>{"a", "b", "c", "4"}));
    CHECK((list.as<std::list<std::string>>().back() == "4"));
    CHECK((std::vector<sentinel::value>(list.begin(), list.end()).size() == 4));
    CHECK_THROWS(sentinel::type_mismatch, list.as<std::vector<int>>());
    CHECK_THROWS(sentinel::type_mismatch, list.as<std::string>());

    client.command({"SADD", "cpp:set", 3, 1, 2});
    CHECK((client.command({"SMEMBERS", "cpp:set"}).as<std::set<int>>() == std::set<int>{1, 2, 3}));
    using texts = std::vector<std::optional<std::string>>;
    const auto some = client.command({"MGET", "cpp:no-such-key", "cpp:key"}).as<texts>();
    CHECK(some.size() == 2 && !some[0] && some[1] == "bar");

    const sentinel::reply none = client.command({"LRANGE", "cpp:no-such-key", 0, -1});
    CHECK(none.type() == type::array && none.empty() && none && none.begin() == none.end());
    CHECK(none.as<std::vector<std::string>>().empty());
    for (const sentinel::value element : none)
        check::fail(__FILE__, __LINE__, element.str());
}

static void maps_are_pairs(const sentinel::client &client, bool resp3) {
    client.command({"DEL", "cpp:hash"});
    client.command({"HSET", "cpp:hash", "one", 1, "two", 2});
    const sentinel::reply map = client.command({"HGETALL", "cpp:hash"});
    CHECK(map.type() == (resp3 ? type::map : type::array));
    CHECK_EQUAL(4u, map.size()); // keys and values
    CHECK_EQUAL(2u, map.pairs().size());
    int sum = 0;
    std::string keys;
    for (const auto [key, element] : map.pairs()) {
        keys += key.text();
        sum += element.as<int>();
    }
    CHECK_EQUAL("onetwo", keys);
    CHECK_EQUAL(3, sum);
    CHECK((map.as<std::map<std::string, int>>() == std::map<std::string, int>{{"one", 1}, {"two", 2}}));
    CHECK_EQUAL("2", (map.as<std::unordered_map<std::string, std::string>>().at("two")));
    if (resp3) {
        CHECK_EQUAL("2", map["two"].text());
        CHECK_EQUAL(1, map.find("one")->as<int>());
    }
    CHECK(map["three"].is_nil() && !map.find("three"));
    using texts = std::map<std::string, std::string>;
    CHECK(client.command({"HGETALL", "cpp:no-such-key"}).as<texts>().empty());
}

/* A list of pairs is read as one whatever the protocol makes of it. */
static void scores_are_pairs(const sentinel::client &client) {
    client.command({"DEL", "cpp:zset"});
    client.command({"ZADD", "cpp:zset", 1, "a", 2.5, "b", 3, "c"});
    const sentinel::reply scores = client.command({"ZRANGE", "cpp:zset", 0, -1, "WITHSCORES"});
    CHECK_EQUAL(3u, scores.pairs().size());
    CHECK_EQUAL("b", scores.pairs()[1].first.text());
    CHECK_EQUAL(2.5, scores.pairs()[1].second.as<double>());
    const std::map<std::string, double> wanted{{"a", 1}, {"b", 2.5}, {"c", 3}};
    CHECK((scores.as<std::map<std::string, double>>() == wanted));
    using list = std::vector<std::pair<std::string, double>>;
    CHECK((scores.as<list>() == list{{"a", 1}, {"b", 2.5}, {"c", 3}}));
    client.command({"HSET", "cpp:pairs", "one", 1});
    using pairs = std::vector<std::pair<std::string, int>>;
    CHECK((client.command({"HGETALL", "cpp:pairs"}).as<pairs>() == pairs{{"one", 1}}));
    const sentinel::reply three = client.command({"HMGET", "cpp:pairs", "one", "two", "three"});
    CHECK_THROWS(sentinel::type_mismatch, (three.as<std::map<std::string, std::optional<int>>>()));
}

static void truth_comes_back(const sentinel::client &client) {
    CHECK(client.command({"SET", "cpp:truth", true}).as<bool>()); // OK
    CHECK(client.command({"GET", "cpp:truth"}).as<bool>());
    client.command({"SET", "cpp:truth", false});
    CHECK(!client.command({"GET", "cpp:truth"}).as<bool>());
    const auto none = client.command({"ECHO", "yes"}).try_as<bool>();
    CHECK(!none && none.error().status() == sentinel::status::invalid_argument);
    CHECK_EQUAL("the string \"yes\" is no boolean", none.error().str());
    CHECK_EQUAL("the nil is no integer", client.command({"GET", "cpp:none"}).try_as<int>().error().str());
    CHECK_EQUAL(7, client.command({"ECHO", 7}).try_as<int>().value());
}

/* Only the server's own word says that nothing was executed, whatever a script says. */
static void elements_have_outcomes(const sentinel::client &client) {
    static const char script[] = "redis.call('INCR', KEYS[1]); return redis.error_reply(ARGV[1])";
    client.command({"DEL", "cpp:ran", "cpp:list"});
    client.command({"RPUSH", "cpp:list", 1});
    for (const auto kind : {sentinel::batch_kind::pipeline, sentinel::batch_kind::transaction}) {
        sentinel::batch batch(kind);
        batch.add({"EVAL", script, 1, "cpp:ran", "ERR own words"});
        batch.add({"EVAL", script, 1, "cpp:ran", "NOTSENT own words"});
        batch.add({"INCR", "cpp:list"});
        const sentinel::reply all = client.run(batch);
        for (std::size_t i = 0; i < 2; i++) {
            CHECK(all[i].why().outcome() == sentinel::outcome::unknown);
            CHECK(all[i].why().status() == sentinel::status::server);
        }
        CHECK(all[2].why().outcome() == sentinel::outcome::refused);
        const sentinel::failure refused = all[2].why();
        CHECK_EQUAL("WRONGTYPE", refused.server_code().value_or(""));
    }
    CHECK_EQUAL(4, client.command({"GET", "cpp:ran"}).as<int>());
}

static void nested_values(const sentinel::client &client) {
    static const char script[] =
        "return {1, {'two', {3, {}}, false}, redis.error_reply('OOPS four'), redis.status_reply('5'), ''}";
    const sentinel::reply reply = client.command({"EVAL", script, 0});
    CHECK_EQUAL(5u, reply.size());
    CHECK_EQUAL("two", reply[1][0].text());
    CHECK_EQUAL(3, reply[1][1][0].integer());
    CHECK(reply[1][1][1].type() == type::array && reply[1][1][1].empty());
    CHECK(reply[1][2].is_nil() && reply[1][3].is_nil() && reply[9][9][9].is_nil());
    CHECK(reply[3].type() == type::status && reply[4].text_if() == "");
    const sentinel::value wrong = reply[2];
    CHECK(wrong.is_error() && wrong);
    CHECK_EQUAL("OOPS four", wrong.text());
    const sentinel::failure why = wrong.why();
    CHECK_EQUAL("OOPS", why.server_code().value_or(""));
    CHECK_THROWS_AND(sentinel::server_error, wrong.as<int>(), CHECK_EQUAL("OOPS four", std::string(caught.what())));
    CHECK_THROWS(sentinel::server_error, wrong.as<std::optional<std::string>>());
}

static void replies_move(const sentinel::client &client) {
    sentinel::reply first = client.command({"ECHO", "first"});
    const sentinel::value seen = first;
    sentinel::reply second = std::move(first);
    CHECK_EQUAL("first", second.text());
    CHECK_EQUAL("first", seen.text()); // borrowed from the object, which only changed hands
    CHECK(first.is_nil() && first.get() == nullptr && first.empty());
    first = client.command({"ECHO", "third"});
    std::swap(first, second);
    CHECK_EQUAL("first", first.text());
    CHECK_EQUAL("third", second.text());
    auto &same = first;
    first = std::move(same);
    CHECK_EQUAL("first", first.text());
    sentinel_reply_t *raw = second.detach();
    CHECK(second.is_nil());
    CHECK_EQUAL("third", sentinel::reply(raw).str());
    CHECK(sentinel::reply().is_nil() && sentinel::value().is_nil() && !sentinel::value().find("x"));
}

int main(int argc, char **argv) {
    return check::run([&] {
        const sentinel::deployment deployment(check::options_of(argc, argv));
        for (const int protocol : {3, 2}) {
            const sentinel::client client =
                deployment.primary_for(argv[1], sentinel::options().set("protocol", protocol));
            scalars(client);
            numbers_keep_their_size_and_digits(client);
            bytes_are_kept(client);
            lists_are_ranges(client);
            maps_are_pairs(client, protocol == 3);
            scores_are_pairs(client);
            truth_comes_back(client);
            elements_have_outcomes(client);
            nested_values(client);
            replies_move(client);
        }
    });
}
