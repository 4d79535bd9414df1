#!/bin/sh
# bindings.sh: `make bench-bindings`. The Go and Ruby bindings beside what their languages have, each in turn in a topology of
# its own, ROUNDS times (5) for SECONDS_EACH (2) seconds; medians as a table, and in OUT (benches) as the first section of
# bindings.txt. Fails when a program does, never because of a figure. With CPU=1 everything runs on that processor.
#
# Go: a bare net.Conn for each call, and go-redis as the distribution has it (golang-gopkg-redis.v5-dev). Ruby: with the
# extension (ext) and by ffi; redis-client and redis-rb as ruby-peers.sh finds them.
set -eu
: "${ROUNDS:=5}" "${SECONDS_EACH:=2}" "${BUILD:=build/bench-bindings}" "${OUT:=benches}"
: "${LAB:=target/debug/lab}" "${MAKE_COMMAND:=make}"
unset MAKEFLAGS MFLAGS
root=$(pwd)
prefix=$root/build/prefix
rm -rf "$BUILD"
mkdir -p "$BUILD/sentinel" "$BUILD/bare" "$BUILD/src/goredis" "$BUILD/ext/sentinel_redis"
build=$(cd "$BUILD" && pwd)
"$MAKE_COMMAND" --no-print-directory install DESTDIR= PREFIX="$prefix" LIBDIR="$prefix/lib" INCLUDEDIR="$prefix/include" \
    MANDIR="$prefix/share/man" >/dev/null
export LD_LIBRARY_PATH="$prefix/lib" LIBSENTINEL="$prefix/lib/libsentinel.so"

# Each program is its library's file and the common one, without the mark that keeps that out of other builds.
cp benches/go/sentinel/* "$build/sentinel"
sed -i "s|../../../bindings/go|$root/bindings/go|" "$build/sentinel/go.mod"
cp benches/go/bare/main.go "$build/bare"
printf 'module bare\n\ngo 1.19\n' >"$build/bare/go.mod"
cp benches/go/goredis/main.go "$build/src/goredis"
for folder in sentinel bare src/goredis; do
    sed 1,2d benches/go/crowd.go >"$build/$folder/crowd.go"
done
for library in sentinel bare; do
    (cd "$build/$library" && PKG_CONFIG_PATH="$prefix/lib/pkgconfig" GOFLAGS=-mod=mod GOPROXY=off \
        go build -o "../bench_$library" .)
done
few="go:sentinel:1 go:bare:1 go:sentinel:8 go:bare:8"
jobs="$few go:sentinel:100 go:sentinel:10000"
if GOPATH=$build:/usr/share/gocode GO111MODULE=off go build -o "$build/bench_goredis" goredis; then
    jobs="$few go:sentinel:100 go:goredis:100 go:sentinel:10000 go:goredis:10000"
else
    echo "go-redis is not installed (golang-gopkg-redis.v5-dev)" >&2
fi
ways=ffi
if (cd "$build/ext" && ruby "$root/bindings/ruby/ext/sentinel_redis/extconf.rb" --with-sentinel-include="$prefix/include" &&
    make && cp fast_ext.so sentinel_redis/) >"$build/errors" 2>&1; then
    ways="ext ffi"
else
    echo "the extension could not be built (ruby-dev)" >&2
fi
peers=tests/scripts/ruby-peers.sh
! client=$("$peers" redis_client connection_pool) || ways="$ways client"
for work in 1 16 1:lrange 1:hgetall; do
    for way in $ways; do
        jobs="$jobs ruby:$way:$work"
    done
done
! redis=$("$peers" redis_client connection_pool redis) || jobs="$jobs ruby:each:16 ruby:shared:16"
pin=
[ -z "${CPU:-}" ] || pin="taskset -c $CPU"

: >"$build/figures"
round=0
while [ "$round" -lt "$ROUNDS" ]; do
    for job in $jobs; do
        language=${job%%:*} rest=${job#*:}
        library=${rest%%:*} callers=${rest#*:} what=
        case $callers in *:*) what=${callers#*:} callers=${callers%%:*} ;; esac
        case $language.$library in
            go.*) program="$build/bench_$library" ;;
            ruby.ext) program="ruby -I$build/ext -Ibindings/ruby/lib benches/bench_ruby.rb sentinel" ;;
            ruby.ffi) program="ruby -Ibindings/ruby/lib benches/bench_ruby.rb sentinel" ;;
            ruby.client) program="ruby $client benches/bench_ruby.rb $library" ;;
            ruby.*) program="ruby $redis benches/bench_ruby.rb $library" ;;
        esac
        # go-redis says on standard error which node it follows.
        # shellcheck disable=SC2086
        figures=$($pin "$LAB" run -- $program "$callers" "$SECONDS_EACH" $what 2>"$build/errors") ||
            { cat "$build/errors"; exit 1; }
        echo "$language $library $callers${what:+:$what} $figures" >>"$build/figures"
    done
    round=$((round + 1))
done
awk '
    function median(text,    parts, count, i, j, swap) {
        count = split(text, parts, " ")
        for (i = 1; i <= count; i++)
            for (j = i + 1; j <= count; j++)
                if (parts[j] + 0 < parts[i] + 0) { swap = parts[i]; parts[i] = parts[j]; parts[j] = swap }
        return parts[int((count + 1) / 2)]
    }
    {
        key = $1 " " $2 " " $3
        if (!(key in seen)) { order[++jobs] = key; seen[key] }
        for (i = 4; i <= NF; i++) all[key, i] = all[key, i] " " $i
    }
    END {
        printf "%-8s %-9s %9s %9s %9s %9s %9s %8s\n", "language", "library", "callers", "ops/s", "p50 us", "p99 us", \
            "cpu us/op", "threads"
        for (j = 1; j <= jobs; j++) {
            split(order[j], word, " ")
            printf "%-8s %-9s %9s", word[1], word[2], word[3]
            printf " %9d %9d %9d %9.2f", median(all[order[j], 4]), median(all[order[j], 5]), median(all[order[j], 6]), \
                median(all[order[j], 7])
            printf " %8s\n", (order[j], 8) in all ? median(all[order[j], 8]) : "-"
        }
    }
' "$build/figures" | tee "$build/table"
benches/section.sh language "$build/table" "$OUT/bindings.txt"
