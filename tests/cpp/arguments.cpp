/*
 * needs: nothing. Arguments: what each kind of value is sent as, what a range becomes, what is taken over and refused.
 */
#include "check.hpp"

#include <sentinel/future.hpp>

#include <deque>
#include <list>
#include <map>
#include <set>
#include <vector>

// An older clang cannot compile the views of libstdc++.
#if defined(__cpp_lib_ranges) && (!defined(__clang__) || __clang_major__ >= 16)
#define HAS_VIEWS
#include <ranges>
#endif

using sentinel::arguments;

static std::string joined(const arguments &args) {
    std::string all;
    for (std::size_t i = 0; i < args.size(); i++)
        all += (i > 0 ? "|" : "") + std::string(args[i]);
    return all;
}

struct record {
    static const int ttl = 60; // without an address
    unsigned bits : 3;
};

static void single_values() {
    const std::string text = "text";
    const std::string_view view = text;
    char buffer[] = "buffer";
    char *pointer = buffer;
    CHECK_EQUAL("S|text|text|buffer|buffer|", joined({"S", text, view, buffer, pointer, ""}));
    CHECK_EQUAL("S|1|0|-7|7|18446744073709551615", joined({"S", true, false, -7, 7u, ~std::uint64_t{0}}));
    CHECK_EQUAL("S|0.1|0.1|1e+300|-2", joined({"S", 0.1, 0.1f, 1e300, -2.0L}));
    const record one{5};
    CHECK_EQUAL("S|60|5", joined({"S", record::ttl, one.bits}));
    const std::string long_text(40, 'x');
    const arguments kept{"S", std::initializer_list<std::string>{long_text, long_text + "y"}};
    CHECK_EQUAL("S|" + long_text + '|' + long_text + 'y', joined(kept));
    const std::optional<int> some = 5;
    CHECK_EQUAL("S|5|x|1", joined({"S", some, std::optional<std::string>("x"), std::optional<bool>(true)}));
}

static void ranges_are_flattened() {
    const std::vector<std::string> keys{"a", "b"};
    CHECK_EQUAL("DEL|a|b", joined({"DEL", keys}));
    CHECK_EQUAL("DEL", joined({"DEL", std::vector<std::string>()}));
    CHECK_EQUAL("S|1|2|3|a|b|end", joined({"S", std::set<int>{3, 1, 2}, keys, "end"}));
    const std::map<std::string, double> scores{{"one", 1}, {"two", 2.5}};
    CHECK_EQUAL("HSET|key|one|1|two|2.5", joined({"HSET", "key", scores}));
    CHECK_EQUAL("S|1|x", joined({"S", std::pair(1, "x")}));
    const std::vector<std::pair<int, std::string>> pairs{{1, "x"}, {2, "y"}};
    CHECK_EQUAL("ZADD|key|1|x|2|y", joined({"ZADD", "key", pairs}));
    const std::vector<std::vector<int>> nested{{1, 2}, {}, {3}};
    CHECK_EQUAL("S|1|2|3", joined({"S", nested}));
    const std::vector<bool> bits{true, false};
    std::vector<bool> more{false};
    CHECK_EQUAL("S|1|0|0", joined({"S", bits, more}));
    const int numbers[] = {4, 5};
    const char *const texts[] = {"x", "y"};
    CHECK_EQUAL("S|4|5|x|y", joined({"S", numbers, texts}));
    CHECK_EQUAL("S|x|y", joined({"S", std::initializer_list<const char *>{"x", "y"}}));
    CHECK_EQUAL("S|1|2", joined({"S", std::deque<std::optional<int>>{1, 2}}));
    CHECK_EQUAL("S|a|b", joined({"S", std::optional<std::vector<std::string>>(keys)}));
    CHECK_EQUAL("GET|key", joined(std::list<std::string_view>{"GET", "key"}));
    CHECK_EQUAL("GET|key", joined(std::vector<const char *>{"GET", "key"}));
#if defined(HAS_VIEWS)
    const auto named = [](int number) { return "n" + std::to_string(number); }; // a temporary for each element
    std::vector<int> counted{1, 2, 3};
    CHECK_EQUAL("S|n1|n2|n3", joined({"S", counted | std::views::transform(named)}));
    auto odd = counted | std::views::filter([](int number) { return number % 2 == 1; }); // not a range when const
    CHECK_EQUAL("S|1|3", joined({"S", odd}));
    CHECK_EQUAL("n1|n2|n3", joined(counted | std::views::transform(named)));
#endif
}

/* Kept beyond the line, they hold what had no name. Only ASan sees the difference. */
static void temporaries_are_taken_over() {
    const std::string long_text(100, 'x');
    arguments kept{"SET", std::string(100, 'k'), std::vector<std::string>{long_text, "y"}, 12345678901234567,
                   std::map<std::string, int>{{std::string(100, 'm'), 1}}, std::optional<std::string>(long_text)};
    kept.add(std::string(100, 'a')).add(std::vector<std::string>{std::string(100, 'v')}).add(0.25);
    const arguments moved = std::move(kept);
    const arguments range = std::vector<std::string>{std::string(100, 'r')};
    const arguments built = arguments{"GET"}.add(std::string(100, 'b')).add(1);
    CHECK_EQUAL("SET|" + std::string(100, 'k') + '|' + long_text + "|y|12345678901234567|" + std::string(100, 'm') +
                    "|1|" + long_text + '|' + std::string(100, 'a') + '|' + std::string(100, 'v') + "|0.25",
                joined(moved));
    CHECK_EQUAL(std::string(100, 'r'), joined(range));
    CHECK_EQUAL("GET|" + std::string(100, 'b') + "|1", joined(built));
    const sentinel::argument one(std::string(100, 'o'));
    const sentinel::argument copy = one;
    CHECK(copy.text() == std::string(100, 'o') && joined({copy, one}).size() == 201);
    const std::string named(100, 'n');
    CHECK(arguments({named}).size() == 1);
    const arguments borrowed{named};
    CHECK(borrowed[0].data() == named.data()); // not copied
}

static void what_is_nothing_is_refused() {
    const char *missing = nullptr;
    for (const arguments &args :
         {arguments{"SET", missing}, arguments{"SET", std::optional<int>()}, arguments{"SET", std::vector{missing}},
          arguments{"SET", std::vector<std::optional<int>>{1, std::nullopt}}}) {
        CHECK(args.refused() != nullptr);
        CHECK(args[args.size() - 1].empty());
        CHECK_THROWS_AND(sentinel::usage_error, sentinel::batch().add(args), {
            CHECK(caught.status() == sentinel::status::invalid_argument && caught.str() == args.refused());
            CHECK(caught.outcome() == sentinel::outcome::not_sent);
        });
        // The C library refuses them too.
        sentinel::batch batch;
        CHECK(sentinel_batch_add(batch.get(), args.size(), args.data(), args.lens()) < 0);
    }
    // No call throws what it is to return.
    const sentinel::deployment deployment(sentinel::options().add_sentinel("127.0.0.1", 1));
    const sentinel::client client = deployment.primary_for("mymaster");
    const sentinel::queue queue(deployment, 4);
    const auto empty = std::optional<std::string>();
    CHECK(client.try_command({"GET", empty}).error().status() == sentinel::status::invalid_argument);
    CHECK(client.try_submit(queue, {"GET", missing}, 1).error().outcome() == sentinel::outcome::not_sent);
    const auto never = [](sentinel::result<sentinel::reply>) { CHECK(false); };
    CHECK(client.try_submit({"GET", missing}, never).error().status() == sentinel::status::invalid_argument);
    CHECK(!client.try_run(sentinel::script("return 1"), {missing}) && !sentinel::scan::try_make(client, {missing}));
    CHECK_THROWS(sentinel::usage_error, client.command({"GET", empty}));
    CHECK_THROWS(sentinel::usage_error, client.async({"GET", empty}).get());
    CHECK(!client.try_async({"GET", empty}).get());
    const std::string_view cut("my\0master", 9);
    CHECK(deployment.try_primary_for(cut).error().status() == sentinel::status::invalid_argument);
    CHECK(deployment.try_discover_primary(cut).error().outcome() == sentinel::outcome::not_sent);
    CHECK(!deployment.try_update_credentials(cut, "") && !deployment.try_metric(cut));
    CHECK_THROWS(sentinel::usage_error, deployment.primary_for(cut));
    CHECK(arguments().refused() == nullptr && arguments({"GET", ""}).refused() == nullptr);
}

int main() {
    return check::run([] {
        single_values();
        ranges_are_flattened();
        temporaries_are_taken_over();
        what_is_nothing_is_refused();
    });
}
