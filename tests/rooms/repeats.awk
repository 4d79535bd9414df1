# repeats.awk: runs of more than MOST (12) lines that stand in two places, files given as arguments. Tables, where each line
# is an entry, are left out by their name. Prints the places, and exits with 1.

BEGIN { if (!MOST) MOST = 12 }

{
    line = $0
    sub(/^ +/, "", line)
    text[NR] = line
    at[NR] = FILENAME ":" FNR
    if (FNR <= MOST) next
    run = ""
    for (i = NR - MOST; i <= NR; i++)
        run = run text[i] "\n"
    if (!(run in first))
        first[run] = NR
    else {
        # The rest of a longer run is no other one.
        if (last != NR - 1)
            print at[NR - MOST] " repeats " at[first[run] - MOST]
        last = NR
        failed = 1
    }
}

END { exit failed }
