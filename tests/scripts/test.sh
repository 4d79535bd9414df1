#!/bin/sh
# test.sh: `make test`. Every check and test one after the other, then the count.
#
# Everything started here inherits a mark in its environment and a TMPDIR of this run. What still carries either at the
# end should have ended by itself: it is named, ended, and counted as a failure. (Servers that rename themselves write
# over their environment, but work in a folder below TMPDIR.)
set -u
: "${MAKE_COMMAND:=make}"
unset MAKEFLAGS MFLAGS # each target is a make of its own
shared=${TMPDIR:-/tmp}
run=$(mktemp -d "$shared/sentinel.XXXXXX") || exit 1
export SENTINEL_TEST_RUN="${run##*/}.$$" TMPDIR="$run/tmp" TALLY="$run/tally"
mkdir "$TMPDIR"
# Where the lab locks its ports is shared with other runs on this machine.
ports=sentinel-lab-ports-$(id -u)
mkdir -p "$shared/$ports" && ln -s "$shared/$ports" "$TMPDIR/$ports"
: >"$TALLY"

# Process ids of this run, without this shell and the shells it forks.
living() {
    for folder in /proc/[0-9]*; do
        pid=${folder#/proc/}
        stat=$(cat "$folder/stat" 2>/dev/null) || continue
        # After the name, which may contain anything: state, parent, ...
        # shellcheck disable=SC2086
        set -- ${stat##*) }
        if [ "$pid" = $$ ] || [ "$2" = $$ ] || [ "$1" = Z ]; then continue; fi
        case $(readlink "$folder/cwd" 2>/dev/null) in
            "$TMPDIR" | "$TMPDIR"/*) echo "$pid" ;;
            *) grep -qs "SENTINEL_TEST_RUN=$SENTINEL_TEST_RUN" "$folder/environ" && echo "$pid" ;;
        esac
    done
}

# What lives on is given five seconds, then ended. Fails when there was any.
end_leftovers() {
    tries=0
    while pids=$(living) && [ -n "$pids" ] && [ $tries -lt 50 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    for pid in $pids; do
        echo "left behind: process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
        kill -9 "$pid" 2>/dev/null
    done
    [ -z "$pids" ]
}

trap 'end_leftovers; rm -rf "$run"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

count() {
    grep -c "^$1 " "$TALLY"
}

# finish: the count, and the exit status that goes with it.
finish() {
    printf '\n'
    grep '^FAILED ' "$TALLY"
    grep '^skipped ' "$TALLY"
    echo "$(count ok) passed, $(count FAILED) failed"
    [ "$(count FAILED)" -eq 0 ]
    exit
}

# compile: the library and the kit, which one processor optimizes for minutes, and beside them all that is tested;
# afterwards the tests have the machine to themselves. What does not compile is for the target that needs it to tell.
compile() {
    { "$MAKE_COMMAND" --no-print-directory lib; "$MAKE_COMMAND" --no-print-directory kit; } >/dev/null 2>&1 &
    "${CARGO:-cargo}" test --quiet --workspace --lib --bins --test '*' --no-run >/dev/null 2>&1
    wait $!
}

tests/scripts/step.sh "setup" tests/scripts/setup.sh test || finish
for target in check unit integration c-tests cpp-tests go-tests ruby-tests docs-tests check-valgrind install-test; do
    printf '\n== %s\n' "$target"
    # After the header was looked at, which a build brings up to date.
    [ "$target" != unit ] || compile
    "$MAKE_COMMAND" --no-print-directory --keep-going "$target" && continue
    # A target that fails before its first step, such as a library that does not build, is a failure as well.
    [ "$(count FAILED)" -gt 0 ] || echo "FAILED $target" >>"$TALLY"
done
if end_leftovers; then
    echo "ok no process left behind" >>"$TALLY"
else
    echo "FAILED no process left behind" >>"$TALLY"
fi
finish
