# Lines "mode client connections side ops", one a round, to a table: the median of each, and of the ratios to what the same
# client did straight at the server in the same round, with their quartiles.
{
    job = $1 " " $2 " " $3
    if (!(job in jobs)) { jobs[job]; order[++many] = job }
    if (!($4 in sides)) { sides[$4]; name[++all] = $4 }
    ops[job, $4, ++count[job, $4]] = $5
}
# Puts the first n of `sorted` in order.
function sort(n,    a, b, t) {
    for (a = 2; a <= n; a++) {
        t = sorted[a]
        for (b = a - 1; b >= 1 && sorted[b] > t; b--) sorted[b + 1] = sorted[b]
        sorted[b + 1] = t
    }
}
# The quarter `q` (1, 2, 3) of the figures of a side; as ratios, where there is something that they are divided by.
function quarter(job, side, by, q,    a, n) {
    n = count[job, side]
    for (a = 1; a <= n; a++) sorted[a] = ops[job, side, a] / (by == "" ? 1 : ops[job, by, a])
    sort(n)
    return sorted[int((n * q + 3) / 4)]
}
END {
    print "placed   client      connections  side         ops/s   to direct  quartiles"
    for (k = 1; k <= many; k++) {
        split(order[k], part, " ")
        for (s = 1; s <= all; s++) {
            printf "%-8s %-11s %11d  %-9s %8d", part[1] == "pinned" ? "one CPU" : "free", part[2], part[3], name[s],
                quarter(order[k], name[s], "", 2)
            if (name[s] != "direct")
                printf "        %.2f  %.2f-%.2f", quarter(order[k], name[s], "direct", 2),
                    quarter(order[k], name[s], "direct", 1), quarter(order[k], name[s], "direct", 3)
            printf "\n"
        }
    }
}
