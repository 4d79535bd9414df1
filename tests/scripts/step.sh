#!/bin/sh
# step.sh NAME COMMAND [ARGUMENT...]
#
# Runs one step of the tests and says how it ended: "ok", "skipped" (exit status 77) or "FAILED". With TALLY naming a
# file, notes the same line there, for the count at the end of `make test`.
name=$1
shift
start=$(date +%s)
"$@"
status=$?
case $status in
    0) verdict=ok ;;
    77) verdict=skipped status=0 ;;
    *) verdict=FAILED ;;
esac
printf '%-7s %s (%d s)\n' "$verdict" "$name" "$(($(date +%s) - start))"
if [ -n "${TALLY:-}" ]; then
    printf '%s %s\n' "$verdict" "$name" >>"$TALLY"
fi
exit "$status"
