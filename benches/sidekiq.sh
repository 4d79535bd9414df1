#!/bin/sh
# sidekiq.sh: `make ruby-sidekiq`. Sidekiq through failovers by the driver :libsentinel, and by redis-client's own support of
# Sentinel, as binding-tests.sh runs it: as a table, and in OUT (benches) as the last section of bindings.txt, whose other lines
# stay. KILLS (10), PLANNED (10). Fails when a job is lost or done twice by the driver, or a push fails that no kill excuses.
#
# The libraries are as ruby-peers.sh finds them; without them it says so, and writes nothing.
set -eu
: "${OUT:=benches}" "${BUILD:=build/bench-bindings}"
log=build/bindings/ruby-sidekiq.log
mkdir -p "$BUILD"
rm -f "$log"
tests/scripts/binding-tests.sh ruby sidekiq
grep -q '^way=' "$log" 2>/dev/null || exit 0
peers=$(tests/scripts/ruby-peers.sh redis_client sidekiq)
# shellcheck disable=SC2086
versions=$(ruby $peers -e 'require "sidekiq"; require "redis_client"
    puts "Sidekiq #{Sidekiq::VERSION} with redis-client #{RedisClient::VERSION}"')
awk -v versions="$versions" '
    BEGIN {
        print versions ": a job pushed by each of " (ENVIRON["PUSHERS"] ? ENVIRON["PUSHERS"] : 4) \
            " threads every 10 ms; executed: of the pushes that failed."
        format = "%-13s %9s %-8s %7s %7s %8s %9s %6s %6s %12s\n"
        printf format, "by", "failovers", "", "pushes", "failed", "unknown", "executed", "lost", "twice", "slowest ms"
    }
    /^way=/ {
        for (i = 1; i <= NF; i++) { split($i, pair, "="); told[pair[1]] = pair[2] }
        printf format, told["way"], told["times"], (told["kind"] == "kills" ? "killed" : "ordered"), told["pushed"], \
            told["failed"], told["unknown"], told["failed_but_executed"], told["lost"], told["twice"], told["slowest_push_ms"]
    }
' "$log" >"$BUILD/sidekiq"
benches/section.sh Sidekiq "$BUILD/sidekiq" "$OUT/bindings.txt"
cat "$BUILD/sidekiq"
