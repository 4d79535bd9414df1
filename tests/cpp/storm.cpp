/*
 * needs: topology. A storm: everything at once, for SECONDS (20), by the random numbers of SEED. Each reply is its own
 * call's, each completion comes once, counters count what they must, and nothing is left behind.
 *
 * What UBSan asks of the kernel it asks by a pipe, for which there may be no descriptor: flags: -fno-sanitize=vptr.
 */
#include "storm.hpp"

#include <condition_variable>
#include <deque>
#include <future>
#include <set>

#if defined(__cpp_impl_coroutine)

/* What all threads use. */
struct shared {
    explicit shared(const storm &of)
        : deployment(of.open()), primary(deployment.primary_for(of.service)),
          replica(deployment.replica_for(of.service)) {}
    sentinel::deployment deployment;
    sentinel::client primary, replica;
};

/* What one thread of the storm does its calls with. */
class worker {
public:
    worker(storm &of, const shared &with, std::uint64_t seed)
        : storm_(of), shared_(with), deployment_(with.deployment), primary_(with.primary), replica_(with.replica),
          own_(with.deployment, 4096), random_(seed) {}

    void work() {
        using thing = void (worker::*)();
        static constexpr thing things[] = {
            &worker::echo,   &worker::echo,    &worker::key,      &worker::pipeline,  &worker::transaction,
            &worker::count,  &worker::walk,    &worker::own,      &worker::block,     &worker::futures,
            &worker::queued, &worker::calls_back, &worker::awaits, &worker::awaits, &worker::client};
        (this->*things[static_cast<std::size_t>(random_.below(static_cast<int>(std::size(things))))])();
    }
    void run(void (worker::*what)()) {
        while (!storm_.over)
            (this->*what)();
    }

    void hear();
    void doom();
    void children();

private:
    const sentinel::client &either() { return random_.one_in(3) ? replica_ : primary_; }

    /* What command() throws is what try_command() gives. */
    static sentinel::result<sentinel::reply> thrown(const std::function<sentinel::reply()> &call) {
        try {
            return call();
        } catch (const sentinel::connection_error &error) {
            CHECK(error.is_connection_error());
            return static_cast<const sentinel::failure &>(error);
        } catch (const sentinel::error &error) {
            CHECK(!error.is_connection_error());
            return static_cast<const sentinel::failure &>(error);
        }
    }

    void echo() { echo_on(either(), false); }

    sentinel::status echo_on(const sentinel::client &client, bool may_close) {
        const attempt made = storm_.begin("echo", random_, may_close);
        const std::string want = storm_.unique() + std::string(random_.one_in(20) ? 50000 : 0, 'x');
        const auto answer = random_.one_in(2)
                                ? client.try_command({"ECHO", want}, made.options())
                                : thrown([&] { return client.command({"ECHO", want}, made.options()); });
        if (!storm_.end(made, answer))
            return answer.error().status();
        storm_.same("echo", want, answer->text());
        return sentinel::status::ok;
    }

    /* A key holds nothing but what was written to it. */
    void key() {
        const std::string name = "storm:key:" + std::to_string(random_.below(50));
        const attempt set = storm_.begin("set", random_);
        storm_.end(set, primary_.try_command({"SET", name, name + '|' + storm_.unique()}, set.options()));
        const attempt get = storm_.begin("get", random_);
        const auto answer = either().try_command({"GET", name}, get.options());
        if (storm_.end(get, answer) && !answer->is_nil())
            storm_.same("get", name + '|', answer->text().substr(0, name.size() + 1));
    }

    void pipeline() {
        const attempt made = storm_.begin("pipeline", random_);
        std::vector<std::string> wants;
        sentinel::batch batch;
        for (int i = random_.below(30); i >= 0; i--)
            wants.push_back(storm_.unique());
        for (const std::string &want : wants)
            batch.add({"ECHO", want});
        const auto answer = either().try_run(batch, made.options());
        if (storm_.end(made, answer))
            elements(made, wants, *answer);
    }

    void elements(const attempt &made, const std::vector<std::string> &wants, const sentinel::reply &replies) {
        if (replies.size() != wants.size())
            return storm_.broke("replies of a batch: " + std::to_string(replies.size()));
        for (std::size_t i = 0; i < wants.size(); i++) {
            const bool cut = replies[i].is_error() && (made.limit > 0ms || !storm_.calm(made.unrest));
            if (!cut && !wants[i].empty())
                storm_.same(made.what, wants[i], replies[i].is_error() ? "an error" : replies[i].text());
        }
    }

    /* Nothing comes between its commands, so that both counters are always equal. */
    void transaction() {
        const attempt made = storm_.begin("transaction", random_);
        const std::string want = storm_.unique(), pair = "storm:pair:" + std::to_string(random_.below(5));
        const auto batch = sentinel::batch(sentinel::batch_kind::transaction)
                               .add({"INCR", pair + ":a"})
                               .add({"ECHO", want})
                               .add({"INCR", pair + ":b"});
        const auto answer = primary_.try_run(batch, made.options());
        if (!storm_.end(made, answer))
            return;
        storm_.same("transaction", want, (*answer)[1].text());
        if ((*answer)[0].integer() != (*answer)[2].integer())
            storm_.broke("a transaction of " + pair + " was torn");
    }

    /*
     * What was acknowledged was done, and what was promised not to have been done was not. A failover may lose what was
     * acknowledged; nothing may be done twice.
     */
    void count() {
        const std::string name = "storm:counter:" + storm_.unique();
        const long unrest = storm_.unrest;
        std::int64_t acknowledged = 0, unknown = 0, last = 0;
        const auto tell = [&](std::int64_t counted) {
            storm_.broke(name + " is " + std::to_string(counted) + " after " + std::to_string(last) + "; " +
                         std::to_string(acknowledged) + " acknowledged, " + std::to_string(unknown) + " unknown");
        };
        for (int i = 0; i < 20 && !storm_.over; i++) {
            const attempt made = storm_.begin("incr", random_);
            const auto answer = primary_.try_command({"INCR", name}, made.options());
            if (storm_.end(made, answer)) {
                acknowledged++;
                const std::int64_t counted = answer->integer();
                if ((counted <= last && storm_.calm(unrest)) || counted > acknowledged + unknown)
                    tell(counted);
                last = counted;
            } else if (answer.error().outcome() == sentinel::outcome::unknown) {
                unknown++;
            }
        }
        const auto answer = primary_.try_command({"GET", name});
        if (!answer)
            return;
        const std::int64_t counted = answer->is_nil() ? 0 : answer->as<std::int64_t>();
        if (counted > acknowledged + unknown || (counted < acknowledged && storm_.calm(unrest)))
            tell(counted);
    }

    /* What is there all the time is given at least once. */
    void walk() {
        const long unrest = storm_.unrest;
        const attempt made = storm_.begin("scan", random_);
        sentinel::scan scan(either(), {"SSCAN", "storm:set", "COUNT", 20 + random_.below(200)}, made.options());
        std::set<int> seen;
        while (!storm_.over) {
            attempt each = made;
            each.begun = clock_type::now(), each.unrest = storm_.unrest, each.stall = storm_.stall;
            auto page = scan.try_next();
            if (!storm_.end(each, page)) {
                if (unrest != storm_.unrest || page.error().status() == sentinel::status::wrong_state)
                    return;
                continue;
            }
            if (!*page)
                break;
            for (const auto member : **page)
                seen.insert(member.as<int>());
        }
        if (!seen.empty() && (*seen.begin() < 0 || *seen.rbegin() >= members))
            storm_.broke("a scan gave what is no member");
        if (!storm_.over && seen.size() != members && storm_.calm(unrest))
            storm_.broke("a scan gave " + std::to_string(seen.size()) + " members");
    }

    /* A connection of one's own, on which a transaction is run by hand; given back in whatever state. */
    void own() {
        const attempt made = storm_.begin("acquire", random_);
        auto connection = primary_.try_acquire(made.limit);
        if (!storm_.end(made, connection))
            return;
        const std::string want = storm_.unique(), name = "storm:watched:" + std::to_string(random_.below(3));
        sentinel::reply last;
        for (const std::vector<std::string> &command : {std::vector<std::string>{"ECHO", want},
                                                        {"WATCH", name},
                                                        {"MULTI"},
                                                        {"INCR", name},
                                                        {"ECHO", want},
                                                        {"EXEC"}}) {
            attempt each = storm_.begin("on a connection", random_);
            each.unrest = made.unrest; // it may have been lost since then
            auto answer = connection->try_command(command, each.options());
            if (!answer && answer.error().status() == sentinel::status::transaction_aborted)
                return;
            if (!storm_.end(each, answer) || random_.one_in(20))
                return;
            if (command[0] == "ECHO" && answer->text() != "QUEUED")
                storm_.same("on a connection", want, answer->text());
            last = std::move(answer).value();
        }
        storm_.same("a transaction by hand", want, last[1].text());
    }

    /* A command that waits in the server. */
    void block() {
        const std::string list = "storm:list:" + storm_.unique();
        attempt made = storm_.begin("blpop", random_);
        made.limit = ms(1 + random_.below(30));
        if (storm_.end(made, primary_.try_command({"BLPOP", list, 0}, made.options())))
            storm_.broke("BLPOP of nothing gave something");
    }

    /* Futures, some of which nobody waits for. */
    void futures() {
        std::vector<std::pair<std::string, std::future<sentinel::result<sentinel::reply>>>> all;
        const attempt made = storm_.begin("future", random_);
        for (int i = random_.below(20); i >= 0; i--) {
            const std::string want = storm_.unique();
            all.emplace_back(want, either().try_async({"ECHO", want}, made.options()));
        }
        if (random_.one_in(4))
            return;
        for (auto &[want, future] : all) {
            const auto answer = future.get();
            if (storm_.end(made, answer))
                storm_.same("future", want, answer->text());
        }
    }

    /* Submissions, some of which are cancelled, of a client that may be destroyed under them: each completes once. */
    void queued() {
        std::map<std::uint64_t, std::string> waiting;
        std::optional<sentinel::client> doomed;
        if (random_.one_in(3))
            doomed = deployment_.primary_for(storm_.service);
        const sentinel::client &client = doomed ? *doomed : either();
        attempt made = storm_.begin("submission", random_, doomed.has_value(), true);
        for (int i = random_.below(40); i >= 0; i--) {
            const std::string want = storm_.unique();
            const auto id = client.try_submit(own_, {"ECHO", want}, ++tag_, made.options());
            if (!storm_.end(made, id))
                continue;
            waiting[tag_] = want;
            if (made.cancels && random_.one_in(2))
                client.cancel(*id);
        }
        made.limit = made.cancels ? 0ms : made.limit; // only some of them were
        if (random_.one_in(2))
            doomed.reset();
        while (!waiting.empty()) {
            const auto completions = own_.try_poll(16, 20000ms);
            if (!completions || completions->empty())
                return storm_.broke(std::to_string(waiting.size()) + " submissions have not completed in 20 s");
            for (const auto &each : *completions) {
                const auto found = waiting.find(each.tag);
                if (found == waiting.end()) {
                    storm_.broke("a completion came twice");
                    continue;
                }
                if (storm_.end(made, each.answer))
                    storm_.same("submission", found->second, each.answer->text());
                waiting.erase(found);
            }
        }
    }

    /* Callbacks, of each of which there is one. */
    void calls_back() {
        const attempt made = storm_.begin("callback", random_);
        const int many = 1 + random_.below(20);
        struct counter {
            std::mutex mutex;
            std::condition_variable changed;
            int came = 0;
        };
        const auto counted = std::make_shared<counter>();
        storm *const of = &storm_;
        int sent = 0;
        for (int i = 0; i < many; i++) {
            const auto id = either().try_submit(
                {"ECHO", storm_.unique() + ":" + std::to_string(i)},
                [counted, made, of, i](const sentinel::result<sentinel::reply> &answer) {
                    if (of->end(made, answer)) {
                        const std::string text = answer->str();
                        of->same("callback", std::to_string(i), text.substr(text.rfind(':') + 1));
                    }
                    const std::lock_guard<std::mutex> lock(counted->mutex);
                    counted->came++;
                    counted->changed.notify_one();
                },
                made.options());
            sent += storm_.end(made, id);
        }
        std::unique_lock<std::mutex> lock(counted->mutex);
        if (!counted->changed.wait_for(lock, 30s, [&] { return counted->came >= sent; }) || counted->came > sent)
            storm_.broke(std::to_string(counted->came) + " callbacks of " + std::to_string(sent));
    }

    void awaits();

    /* One that is used by several threads, and goes when the last is done. */
    void client() {
        const auto own = std::make_shared<sentinel::client>(deployment_.primary_for(storm_.service));
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; i++)
            threads.emplace_back([this, own, seed = random_.seed()] {
                worker other(storm_, shared_, seed);
                for (int n = 0; n < 5; n++)
                    other.echo_on(*own, false);
            });
        for (std::thread &thread : threads)
            thread.join();
    }

    storm &storm_;
    const shared &shared_;
    const sentinel::deployment &deployment_;
    const sentinel::client &primary_, &replica_;
    sentinel::queue own_;
    dice random_;
    std::uint64_t tag_ = 0;
};

#include "storm_waits.hpp"

static void every_slot_is_free(storm &of, const sentinel::client &client) {
    std::vector<sentinel::connection> held;
    for (int i = 0; i < slots; i++) {
        auto connection = client.try_acquire(unlimited);
        if (!connection)
            return of.broke(std::to_string(i) + " slots are free: " + connection.error().str());
        held.push_back(std::move(connection).value());
        of.same("a slot", std::to_string(i), held.back().command({"ECHO", i}).str());
    }
}

static void prepare(const sentinel::client &primary) {
    sentinel::batch batch;
    for (int i = 0; i < members; i++)
        batch.add({"SADD", "storm:set", i});
    primary.run(batch);
    sentinel::call_options sure{unlimited};
    sure.replicas = 2;
    primary.command({"SET", "storm:prepared", 1}, sure);
}

static void blow(storm &of) {
    const shared with(of);
    prepare(with.primary);
    // Until then the primary stands in, and a walk that began there ends with that.
    const auto serves = [&with] {
        const sentinel::nodes nodes = with.replica.node();
        return nodes.size() == 1 && nodes[0].role() == sentinel::role::replica;
    };
    while (!serves())
        static_cast<void>(with.replica.try_command({"PING"}));
    std::vector<std::thread> threads;
    const auto run = [&](int index, void (worker::*what)()) {
        threads.emplace_back([&, index, what] {
            worker(of, with, static_cast<std::uint64_t>(of.seed + index)).run(what);
        });
    };
    for (int i = 0; i < 16; i++)
        run(i, &worker::work);
    run(100, &worker::hear), run(101, &worker::hear), run(200, &worker::doom);
    run(201, &worker::children);
    threads.emplace_back([&] {
        while (!of.over)
            of.measure();
    });
    threads.emplace_back([&, random = dice(static_cast<std::uint64_t>(of.seed + 300))]() mutable {
        while (!of.over)
            of.weather(random, with.deployment, with.primary);
    });
    for (const double limit = static_cast<double>(number("SECONDS", 20)); of.seconds() < limit && !of.over;)
        std::this_thread::sleep_for(10ms);
    of.over = true;
    for (std::thread &thread : threads)
        thread.join();
    every_slot_is_free(of, with.primary);
    every_slot_is_free(of, with.replica);
}

int main(int argc, char **argv) {
    return check::run([&] {
        storm of(argc, argv);
        std::cout << "storm: C++ seed " << of.seed << std::endl;
        {
            const sentinel::deployment first = of.open(); // what is made once is made
            first.primary_for(of.service).command({"PING"});
            first.close();
        }
        const holdings before = holdings::now();
        blow(of);
        holdings after = holdings::now();
        for (int tries = 0; tries < 100 && (after.threads > before.threads || after.descriptors > before.descriptors);
             tries++, after = holdings::now())
            std::this_thread::sleep_for(50ms);
        if (after.threads > before.threads || after.descriptors > before.descriptors ||
            after.memory > before.memory + megabytes)
            of.broke(std::to_string(after.threads) + " threads, " + std::to_string(after.descriptors) +
                     " descriptors, " + std::to_string(after.memory) + " MB; before " + std::to_string(before.threads) +
                     ", " + std::to_string(before.descriptors) + ", " + std::to_string(before.memory));
        of.figures();
        CHECK(of.failures == 0);
    });
}

#else

int main() {}

#endif
