#!/bin/sh
# c-tests.sh [shared|valgrind|address|thread|forks]
#
# Compiles every program of tests/c, every example and the program in README.md against the .so and against the .a, and
# runs each. With "shared": those that run in a topology, against the .so; with "valgrind": those that run, against the
# .so, under valgrind; with "address" or "thread": under that sanitizer, with the library that sanitize.sh has built. With
# "forks": the one that forks, as often as FORKS says.
#
# The first comment of a program in tests/c says what it needs:
#   compile only            compiling it is the test
#   needs: nothing          run without arguments
#   needs: topology         run inside `lab run`, with the arguments SERVICE HOST:PORT...
#   needs: topology (...)   the same, with what is in the parentheses as options of `lab run`
#   libs: NAME...           other libraries, by pkg-config; skipped where it does not know them
#
# For another C library or processor: CC, RELEASE, SONAME_DIR (see compile.sh), TESTS_OUT, the folder of the programs,
# RUN_BY, which runs them, and LIMIT, the seconds that each may take (120).
set -eu
: "${LAB:=target/debug/lab}"
scripts=$(dirname "$0")
: "${TESTS_OUT:=build/tests}"
out=$TESTS_OUT

# need_of SOURCE: the line that says it.
need_of() {
    case $1 in
        examples-c/proxy.c) echo "needs: proxy" ;;
        examples-c/*) echo "needs: topology" ;;
        "$out/readme.c") echo "needs: url" ;;
        *) sed -n -e '/compile only\|needs: nothing\|needs: topology/{p;q;}' -e '/\*\//q' "$1" ;;
    esac
}

# in_lab OPTIONS SCRIPT COMMAND...: runs SCRIPT, which makes COMMAND's arguments of SERVICE and SENTINELS.
in_lab() {
    options=$1 script=$2
    shift 2
    # shellcheck disable=SC2086
    timeout --foreground -k 10 "$limit" "$LAB" run $options -- sh -c "$script" sh "$@"
}

# run NEED COMMAND...
run() {
    need=$1
    shift
    options=$(printf '%s\n' "$need" | sed -n 's/.*needs: topology *(\([^)]*\)).*/\1/p')
    # The variables are those of the lab.
    # shellcheck disable=SC2016
    case $need in
        *"needs: nothing"*) timeout --foreground -k 10 "$limit" "$@" ;;
        *"needs: topology"*) in_lab "$options" 'exec "$@" "$SERVICE" $(echo "$SENTINELS" | tr , " ")' "$@" ;;
        *"needs: proxy"*) in_lab "" 'exec "$@"' "$scripts/proxy-test.sh" "$@" ;;
        *"needs: url"*) in_lab "" 'exec "$@" "redis+sentinel://$SENTINELS/$SERVICE"' "$@" ;;
    esac
}

# one VARIANT SOURCE: compiles and runs it.
one() {
    need=$(need_of "$2")
    program=$out/$1/$(basename "$2" .c)
    limit=$((${LIMIT:-120} + ${FORKS:-0}))
    case "$1 $need" in
        *"compile only"*) "$scripts/compile.sh" object "$2" ;;
        *" ")
            echo "$2: the first comment says neither 'compile only' nor 'needs: nothing' nor 'needs: topology'"
            return 1
            ;;
        valgrind*)
            limit=300
            "$scripts/compile.sh" shared "$2" "$program" || return
            run "$need" valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
                --fair-sched=try "$program"
            ;;
        address* | thread*)
            limit=300
            "$scripts/sanitize.sh" "$1" --compile "$2" "$program"
            run "$need" "$program"
            ;;
        *)
            case "${RUN_BY:-} $2" in
                " "*) ;;
                # A child of what runs the program may find locks of that held.
                *"/forks.c")
                    echo "$2: skipped, for what runs it has threads and locks of its own"
                    return 77
                    ;;
            esac
            "$scripts/compile.sh" "$1" "$2" "$program" || return
            if [ -n "${RUN_BY:-}" ]; then
                printf '%s\n' '#!/bin/sh' "exec $RUN_BY '$(realpath "$program")' \"\$@\"" >"$program-run"
                chmod 755 "$program-run"
                program=$program-run
            fi
            run "$need" "$program"
            ;;
    esac
}

# Called back through step.sh: the output goes to a file, and is shown when the program fails.
if [ "${1:-}" = --one ]; then
    log="$out/log/$2-$(basename "$3").log"
    export FAILOVER_SECONDS=3 WATCH_SECONDS=3 FAILOVER_LOG="$out/log/$2-acknowledged" PUBSUB_SECONDS=3
    status=0
    (one "$2" "$3") >"$log" 2>&1 || status=$?
    case $status in
        0) ;;
        77) tail -n 1 "$log" ;;
        *)
            cat "$log"
            status=1
            ;;
    esac
    exit $status
fi

mkdir -p "$out/log"
# The first program of the README, so that it stays one that compiles and runs.
# shellcheck disable=SC2016
sed -n '/^```c$/,/^```$/{/^```c$/d;/^```$/q;p;}' README.md >"$out/readme.c"
failed=0
for source in tests/c/*.c tests/c/*.cpp examples-c/*.c "$out/readme.c"; do
    [ -f "$source" ] || continue
    case "${1:-} $(need_of "$source") $source" in
        "valgrind "*"compile only"*) variants='' ;;
        # A child leaves what it has inherited where it is, which is a leak to valgrind.
        "valgrind "*) case $source in */forks.c) variants='' ;; *) variants=valgrind ;; esac ;;
        "shared "*"needs: topology"*) variants=shared ;;
        "shared "*) variants='' ;;
        "forks "*) case $source in */forks.c) variants=shared ;; *) variants='' ;; esac ;;
        "address "*"compile only"* | "thread "*"compile only"*) variants='' ;;
        # A child of a process with threads may find the sanitizer's own locks held.
        "address "*) case $source in */forks.c) variants='' ;; *) variants=address ;; esac ;;
        # Threads of its own has this one.
        "thread "*) case $source in */threads.c) variants=thread ;; *) variants='' ;; esac ;;
        *"compile only"*) variants=object ;;
        # It loads the library by itself.
        *" tests/c/reload.c") variants=shared ;;
        # Headers are the same against both.
        *" tests/c/adapter_"*) variants=shared ;;
        # So it is installed. Its test starts and ends it by itself.
        *" examples-c/proxy.c") variants=shared ;;
        *) variants='shared static' ;;
    esac
    for variant in $variants; do
        "$scripts/step.sh" "$source ($variant)" "$0" --one "$variant" "$source" || failed=1
    done
done
exit "$failed"
