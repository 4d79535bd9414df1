/*
 * needs: nothing. result: what std::expected has, of values that copy, of values that only move, and of none.
 */
#include "check.hpp"

using sentinel::result;

static const sentinel::failure refused(sentinel::status::invalid_argument, "refused", sentinel::outcome::not_sent);

static result<int> half(int number) {
    if (number % 2 != 0)
        return refused;
    return number / 2;
}

static void values_and_failures_are_held() {
    result<int> right = 8, wrong = refused;
    CHECK(right.ok() && right.has_value() && right && !wrong.ok() && !wrong.has_value() && !wrong);
    CHECK_EQUAL(8, right.value());
    CHECK_EQUAL(8, *right);
    *right = 9;
    CHECK_EQUAL(9, right.value_or(1));
    CHECK_EQUAL(1, wrong.value_or(1));
    CHECK_EQUAL(1, result<int>(refused).value_or(1));
    CHECK_EQUAL("refused", wrong.error().message());
    CHECK_EQUAL("refused", std::move(wrong).error().str());
    CHECK_EQUAL("other", right.error_or(sentinel::failure(sentinel::status::internal, "other")).str());
    CHECK_EQUAL("refused", result<int>(refused).error_or(sentinel::failure(-901)).str());
    CHECK_EQUAL(3u, result<std::string>(std::in_place, 3u, 'x').value().size());
}

static void nothing_is_undefined() {
    const result<int> wrong = refused;
    const result<std::string> text = refused;
    CHECK_THROWS_AND(sentinel::usage_error, wrong.value(), CHECK(caught.outcome() == sentinel::outcome::not_sent));
    CHECK_THROWS(sentinel::usage_error, *wrong);
    CHECK_THROWS(sentinel::usage_error, text->size());
    CHECK_THROWS(sentinel::usage_error, half(3).value());
    CHECK_THROWS(sentinel::usage_error, *half(3));
    CHECK_THROWS_AND(sentinel::usage_error, result<int>(1).error(),
                     CHECK(caught.status() == sentinel::status::wrong_state));
    CHECK_THROWS(sentinel::usage_error, result<void>().error());
    const result<int> right = 1;
    CHECK_THROWS(sentinel::usage_error, right.error());
    try { // what the library itself throws is one family
        static_cast<void>(right.error());
    } catch (const sentinel::error &caught) {
        CHECK(!caught.is_connection_error() && !caught.str().empty());
    }
}

static void steps_follow_each_other() {
    result<int> twelve = 12;
    const result<int> wrong = refused;
    CHECK_EQUAL(3, twelve.and_then(half).and_then(half).value());
    CHECK(!twelve.and_then(half).and_then(half).and_then(half));
    int calls = 0;
    const auto counting = [&](int number) { return calls++, result<int>(number); };
    CHECK_EQUAL("refused", wrong.and_then(counting).error().str());
    CHECK_EQUAL(0, calls);
    CHECK_EQUAL("12", twelve.transform([](int number) { return std::to_string(number); }).value());
    CHECK(!wrong.transform([](int number) { return std::to_string(number); }));
    CHECK(twelve.transform([&](int) { calls++; }).ok());
    CHECK_EQUAL(1, calls);
    CHECK_EQUAL(7, wrong.or_else([](const sentinel::failure &) { return result<int>(7); }).value());
    CHECK_EQUAL(12, twelve.or_else([](const sentinel::failure &) { return result<int>(7); }).value());
    const auto renamed = [](const sentinel::failure &why) {
        return sentinel::failure(why.status(), "again " + why.str());
    };
    CHECK_EQUAL("again refused", wrong.transform_error(renamed).error().str());
    CHECK_EQUAL(12, twelve.transform_error(renamed).value());
    twelve.transform([](int &number) { return number = 13; }).value();
    CHECK_EQUAL(13, *twelve);
}

static void nothing_is_a_value_too() {
    const result<void> done;
    const result<void> wrong = refused;
    done.value();
    *done;
    CHECK(done && done.has_value() && !wrong);
    CHECK_THROWS(sentinel::usage_error, wrong.value());
    CHECK_THROWS(sentinel::usage_error, *wrong);
    CHECK_EQUAL(4, done.and_then([] { return half(8); }).value());
    CHECK_EQUAL("x", done.transform([] { return std::string("x"); }).value());
    CHECK(wrong.or_else([](const sentinel::failure &) { return result<void>(); }).ok());
    CHECK_EQUAL("refused", wrong.error_or(sentinel::failure(-901)).str());
    CHECK_EQUAL("refused", wrong.and_then([] { return half(8); }).error().str());
}

static void what_only_moves_is_moved() {
    using owner = std::unique_ptr<int>;
    result<owner> first = std::make_unique<int>(5);
    result<owner> second = std::move(first);
    CHECK_EQUAL(5, **second);
    CHECK(first.ok()); // of a moved-from value
    CHECK_EQUAL(6, std::move(second).transform([](owner of) { return *of + 1; }).value());
    result<owner> third = std::make_unique<int>(7);
    const owner taken = *std::move(third);
    CHECK_EQUAL(7, *taken);
    const owner other = result<owner>(refused).value_or(std::make_unique<int>(8));
    CHECK_EQUAL(8, *other);
    result<owner> same = std::make_unique<int>(9);
    auto &itself = same;
    same = std::move(itself);
    CHECK(same.ok());
    same = refused;
    CHECK(!same);
    same = std::make_unique<int>(10);
    CHECK_EQUAL(10, *same.value());
    const auto moved_on = std::move(same).and_then([](owner of) { return result<int>(*of); });
    CHECK_EQUAL(10, moved_on.value());
}

int main() {
    return check::run([] {
        values_and_failures_are_held();
        nothing_is_undefined();
        steps_follow_each_other();
        nothing_is_a_value_too();
        what_only_moves_is_moved();
    });
}
