#!/bin/sh
# test.sh: `make test`. Every check and test, then the count.
#
# Servers are waited for, compilers compute. So what compiles, and what computes, has the processors whenever the tests
# leave them; and the tests of the languages, whose limits allow for it, run two at a time. What is measured closely has
# the machine to itself. What does not run in the foreground is told as a whole when it is over.
#
# Everything started here inherits a mark in its environment and a TMPDIR of this run. What still carries either at the
# end should have ended by itself: it is named, ended, and counted as a failure. (Servers that rename themselves write
# over their environment, but work in a folder below TMPDIR.)
set -u
: "${MAKE_COMMAND:=make}"
unset MAKEFLAGS MFLAGS # each target is a make of its own
shared=${TMPDIR:-/tmp}
run=$(mktemp -d "$shared/sentinel.XXXXXX") || exit 1
export SENTINEL_TEST_RUN="${run##*/}.$$" TMPDIR="$run/tmp"
mkdir "$TMPDIR" "$run/tallies" "$run/told"
jobs=''
# What gives a command the time that others leave. In the foreground nothing is put before one.
idle='nice -n 19'
! chrt --idle 0 true 2>/dev/null || idle="$idle chrt --idle 0"
gently=''

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

# The background jobs first: what they wait for is then ended, and they would go on with what comes next.
# shellcheck disable=SC2086
trap '[ -z "$jobs" ] || kill $jobs 2>/dev/null; end_leftovers; rm -rf "$run"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# lines VERDICT: the steps that ended so.
lines() {
    cat "$run"/tallies/* | grep "^$1 "
}

count() {
    lines "$1" | wc -l
}

# why: the words of what failed among what was told as a whole: they stand far above by then.
why() {
    for told in "$run"/told/*; do
        [ -f "$told" ] || continue
        grep -q '^FAILED ' "$told" || continue
        grep -hE -A3 'panicked at|broke after|^ *--- FAIL|^ *[0-9]+\) (Failure|Error):|[Aa]ssertion' "$told" | head -n 40
    done
}

# finish: the count, and the exit status that goes with it.
finish() {
    printf '\n'
    why
    lines FAILED
    lines skipped
    echo "$(count ok) passed, $(count FAILED) failed"
    [ "$(count FAILED)" -eq 0 ]
    exit
}

# section TARGET: its steps, under its name.
section() {
    printf '\n== %s\n' "$1"
    tally=$run/tallies/$1
    : >"$tally"
    # shellcheck disable=SC2086
    TALLY=$tally $gently "$MAKE_COMMAND" --no-print-directory --keep-going "$1" && return
    # A target that fails before its first step, such as a library that does not build, is a failure as well.
    grep -q '^FAILED ' "$tally" || echo "FAILED $1" >>"$tally"
}

# sections TARGET...: one after the other, each told when it is over.
sections() {
    for target in "$@"; do
        section "$target" >"$run/told/$target" 2>&1
        flock "$run" cat "$run/told/$target"
    done
}

# join: waits for the background. What ended in another way than by its last line leaves sections that nobody has seen.
join() {
    for job in $jobs; do
        wait "$job" || echo "FAILED a part of the tests that ended halfway" >>"$run/tallies/jobs"
    done
    jobs=''
}

# quietly TARGET...: what does not compile is for the target that needs it to tell.
quietly() {
    for target in "$@"; do
        # shellcheck disable=SC2086
        $gently "$MAKE_COMMAND" --no-print-directory "$target" >/dev/null 2>&1 || true
    done
}

TALLY=$run/tallies/setup tests/scripts/step.sh "setup" tests/scripts/setup.sh test || finish
section check
# Now that the header was looked at, which a build brings up to date.
(gently=$idle; quietly lib kit cpp-compile prefix) &
jobs=$!
"${CARGO:-cargo}" test --quiet --workspace --lib --bins --test '*' --no-run >/dev/null 2>&1
section unit
section integration-waiting
join
section integration-measured
sections c-tests docs-tests check-valgrind install-test &
jobs=$!
sections cpp-programs go-tests ruby-tests other-servers &
jobs="$jobs $!"
(gently=$idle; sections cpp-headers integration-computing) &
jobs="$jobs $!"
join
TALLY=$run/tallies/end
if end_leftovers; then
    echo "ok no process left behind" >>"$TALLY"
else
    echo "FAILED no process left behind" >>"$TALLY"
fi
finish
