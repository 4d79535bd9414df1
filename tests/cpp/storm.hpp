/*
 * The frame of storm.cpp: time, weather, what a call may give, and what a process has before and after.
 */
#ifndef STORM_HPP
#define STORM_HPP

#include "check.hpp"

#include <atomic>
#include <cctype>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;
using ms = std::chrono::milliseconds;

constexpr int slots = 4;         // pool.max_connections
constexpr int members = 500;     // of the set that is walked through
constexpr ms unlimited = 10s;    // timeout_ms
constexpr long megabytes = 800;  // with what AddressSanitizer keeps back

inline long number(const char *name, long otherwise) {
    const char *text = std::getenv(name);
    return text != nullptr && *text != '\0' ? std::atol(text) : otherwise;
}

/* How late a call may be on a machine that is not; more, by SLACK in ms, where it has other things to do. */
inline const ms slack{number("SLACK", 500)};

struct holdings {
    std::size_t descriptors = 0, threads = 0;
    long memory = 0;

    static holdings now() {
        namespace fs = std::filesystem;
        const auto entries = [](const char *of) {
            return static_cast<std::size_t>(std::distance(fs::directory_iterator(of), fs::directory_iterator()));
        };
        holdings has;
        has.descriptors = entries("/proc/self/fd");
        has.threads = entries("/proc/self/task");
        long ignored = 0;
        std::ifstream("/proc/self/statm") >> ignored >> has.memory;
        has.memory = has.memory * sysconf(_SC_PAGESIZE) >> 20;
        return has;
    }
};

/* Random numbers of one thread. */
class dice {
public:
    explicit dice(std::uint64_t seed) : engine_(seed) {}
    int below(int most) { return static_cast<int>(engine_() % static_cast<std::uint64_t>(most)); }
    bool one_in(int of) { return below(of) == 0; }
    std::uint64_t seed() { return engine_(); }
    std::chrono::microseconds within(ms most) {
        return std::chrono::microseconds(engine_() % static_cast<std::uint64_t>(most.count() * 1000));
    }
    void pause(ms most) { std::this_thread::sleep_for(within(most)); }

private:
    std::mt19937_64 engine_;
};

/* A call that is watched. limit: its deadline, 0 that of the client; or when it was cancelled. */
struct attempt {
    const char *what;
    ms limit;
    bool cancels, may_close;
    long unrest;
    std::int64_t stall;
    clock_type::time_point begun;

    sentinel::call_options options() const {
        sentinel::call_options made;
        made.timeout = cancels ? 0ms : limit;
        return made;
    }
};

class storm {
public:
    storm(int argc, char **argv)
        : seed(number("SEED", std::time(nullptr) % 1000000)), service(argv[1]), begun(clock_type::now()) {
        CHECK(argc > 2);
        for (int i = 2; i < argc; i++)
            sentinels.emplace_back(argv[i]);
    }

    sentinel::deployment open() const {
        sentinel::options options;
        for (const std::string &endpoint : sentinels) {
            const auto colon = endpoint.rfind(':');
            options.add_sentinel(endpoint.substr(0, colon),
                                 static_cast<std::uint16_t>(std::atoi(endpoint.c_str() + colon + 1)));
        }
        options.set("timeout_ms", unlimited).set("pool.max_connections", slots);
        return sentinel::deployment(options);
    }

    /* Ends the storm. Several tell more than the first. */
    void broke(const std::string &what) {
        over = true;
        if (failures++ > 20)
            return;
        const std::lock_guard<std::mutex> lock(mutex_);
        std::cout << "storm: C++ broke after " << seconds() << " s, SEED=" << seed << ", unrest " << unrest << ": "
                  << what << std::endl;
    }

    double seconds() const { return std::chrono::duration<double>(clock_type::now() - begun).count(); }
    std::string unique() { return "s" + std::to_string(seed) + ':' + std::to_string(serial++); }
    bool calm(long since) const { return since % 2 == 0 && since == unrest; }
    void same(const char *what, std::string_view want, std::string_view got) {
        if (want != got)
            broke(std::string(what) + ": want " + std::string(want.substr(0, 80)) + ", got " +
                  std::string(got.substr(0, 80)) + ", which is another's");
    }

    /* A call with a deadline, short or long, or none; some are cancelled instead, by who can. */
    attempt begin(const char *what, dice &random, bool may_close = false, bool can_cancel = false) {
        attempt made{what, 0ms, false, may_close, unrest, stall, clock_type::now()};
        calls++;
        const int kind = random.below(10);
        if (kind == 4 || kind == 5)
            made.limit = 3000ms;
        else if (kind > 5)
            made.limit = ms(1 + random.below(20));
        made.cancels = can_cancel && kind > 7;
        return made;
    }

    /* Whether it succeeded, and in time. */
    template <class T> bool end(const attempt &of, const sentinel::result<T> &answer) {
        if (!answer)
            failed(of, answer.error());
        in_time(of);
        return answer.ok();
    }

    void in_time(const attempt &of) {
        const auto allowed = of.limit > 0ms ? of.limit : unlimited;
        const auto late = clock_type::now() - of.begun - allowed - std::chrono::nanoseconds(stall - of.stall);
        if (late > slack)
            broke(std::string(of.what) + " is " + std::to_string(std::chrono::duration<double>(late).count()) +
                  " s late: limit " + std::to_string(of.limit.count()) + " ms");
    }

    void failed(const attempt &of, const sentinel::failure &why) {
        const std::string name(sentinel::name(why.status()));
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            kinds_[name]++;
        }
        if (!allowed(of, why.status()))
            broke(std::string(of.what) + ": " + name + " is not to be expected: " + why.str() + ", limit " +
                  std::to_string(of.limit.count()) + " ms" + (of.cancels ? ", cancelled" : ""));
    }

    bool allowed(const attempt &of, sentinel::status status) const {
        const bool unquiet = !calm(of.unrest);
        switch (status) {
        case sentinel::status::cancelled: return of.cancels;
        case sentinel::status::closed: return of.may_close;
        case sentinel::status::timeout:
        case sentinel::status::pool_exhausted: return unquiet || (of.limit > 0ms && !of.cancels);
        case sentinel::status::primary_not_found:
        case sentinel::status::replica_not_found:
        case sentinel::status::connect:
        case sentinel::status::connection_lost:
            return unquiet || of.may_close || (of.limit > 0ms && of.limit < 1000ms);
        case sentinel::status::internal:
        case sentinel::status::wrong_state:
        case sentinel::status::transaction_aborted:
        case sentinel::status::readonly:
        case sentinel::status::loading: return unquiet;
        default: return false;
        }
    }

    /* How late whatever waits is on this machine, so that calls are not blamed for it. */
    void measure() {
        const auto before = clock_type::now();
        std::this_thread::sleep_for(5ms);
        const std::chrono::nanoseconds late = clock_type::now() - before - 5ms;
        if (late > 5ms)
            stall += late.count();
    }

    /* What happens to all: failovers, and no more descriptors. */
    void weather(dice &random, const sentinel::deployment &deployment, const sentinel::client &primary) {
        random.pause(1000ms);
        const int kind = round < 3 ? round : random.below(3);
        round++;
        unrest++;
        if (kind == 2)
            without_descriptors(random, primary);
        else
            failover(kind == 0 ? "kill-primary" : "fail-over", deployment, primary);
        unrest++;
    }

    void figures() {
        std::cout << "storm: C++ seed " << seed << ", " << static_cast<int>(seconds()) << " s, " << calls << " calls, "
                  << moved << " failovers, " << children << " children, errors:";
        for (const auto &[name, count] : kinds_)
            std::cout << ' ' << name << ' ' << count << (name == kinds_.rbegin()->first ? "" : ",");
        std::cout << "; late by " << static_cast<double>(stall) / 1e9 << " s in all" << std::endl;
    }

    const long seed;
    const char *service;
    const clock_type::time_point begun;
    std::vector<std::string> sentinels;
    std::atomic<bool> over{false};
    std::atomic<long> unrest{0}; // odd while a failover or a shortage of descriptors is under way
    std::atomic<std::int64_t> stall{0}; // ns by which, in sum, a plain sleep was late
    std::atomic<long> serial{0}, calls{0}, moved{0}, children{0}, failures{0};

private:
    void lab(const std::string &verb) {
        const char *lab = std::getenv("LAB");
        if (lab == nullptr || std::system(('"' + std::string(lab) + "\" ctl " + verb + " >/dev/null").c_str()) != 0)
            broke("lab ctl " + verb);
    }

    void failover(const char *how, const sentinel::deployment &deployment, const sentinel::client &primary) {
        const sentinel::nodes before = deployment.discover_primary(service, 30000ms);
        const std::string old = before[0].endpoint();
        lab(how);
        for (const auto limit = clock_type::now() + 60s;; std::this_thread::sleep_for(10ms)) {
            // Until then it must not be restarted, for it would be an empty primary.
            const sentinel::nodes serving = primary.node();
            if (!serving.empty() && serving[0].endpoint() != old)
                break;
            if (clock_type::now() > limit)
                return broke(std::string("no other primary a minute after ") + how);
            static_cast<void>(primary.try_command({"PING"}));
        }
        moved++;
        lab("restart-killed");
        lab("wait-settled");
        static_cast<void>(primary.try_command({"PING"}));
    }

    void without_descriptors(dice &random, const sentinel::client &primary) {
        rlimit old{};
        getrlimit(RLIMIT_NOFILE, &old);
        rlimit low = old;
        low.rlim_cur = holdings::now().descriptors + static_cast<rlim_t>(random.below(8));
        setrlimit(RLIMIT_NOFILE, &low);
        random.pause(1000ms);
        setrlimit(RLIMIT_NOFILE, &old);
        static_cast<void>(primary.try_command({"PING"}));
    }

    int round = 0;
    std::mutex mutex_;
    std::map<std::string, long> kinds_;
};

#endif
