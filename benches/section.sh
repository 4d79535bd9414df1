#!/bin/sh
# section.sh WORD FILE RESULTS: puts the lines of FILE in the place of that section of RESULTS whose first line begins with WORD, or
# behind all others. An empty line is between sections, and none within.
set -eu
[ -e "$3" ] || : >"$3"
awk -v word="$1" -v file="$2" '
    function put(    line) {
        if (sections++)
            print ""
        RS = "\n"
        while ((getline line < file) > 0)
            print line
        RS = ""
        done = 1
    }
    BEGIN { RS = "" }
    index($0, word) == 1 { put(); next }
    { if (sections++) print ""; print }
    END { if (!done) put() }
' "$3" >"$3.new"
mv "$3.new" "$3"
