# Lines "mode workload threads library ops p50 p99 cpu", one a round, to the median of each figure, and to lines "ratio
# library mode workload threads ops low high cpu": to hiredis. A ratio is the median of those of each round, whose
# programs ran within a second or two of one another: a machine that is fast for a while and slow for another changes
# both alike. `low` and `high` are its quartiles. Other lines stay, each once.
NF == 8 {
    key = $1 " " $2 " " $3 " " $4
    if (!(key in count)) order[++keys] = key
    n = ++count[key]
    for (i = 5; i <= 8; i++) value[key, i, n] = $i + 0
    next
}
!($0 in shown) { shown[$0]; print }
# Puts the first n of `sorted` in order.
function sort(n,    a, b, t) {
    for (a = 2; a <= n; a++) {
        t = sorted[a]
        for (b = a - 1; b >= 1 && sorted[b] > t; b--) sorted[b + 1] = sorted[b]
        sorted[b + 1] = t
    }
}
function median(key, i, n,    a) {
    for (a = 1; a <= n; a++) sorted[a] = value[key, i, a]
    sort(n)
    return sorted[int((n + 1) / 2)]
}
# The quarter `q` (1, 2, 3) of the ratios of figure i.
function ratio(ours, theirs, i, n, q,    a) {
    for (a = 1; a <= n; a++) sorted[a] = value[ours, i, a] / value[theirs, i, a]
    sort(n)
    return sorted[int((n * q + 3) / 4)]
}
END {
    for (k = 1; k <= keys; k++) {
        key = order[k]
        line = key
        for (i = 5; i <= 8; i++) line = line " " median(key, i, count[key])
        print line
    }
    for (k = 1; k <= keys; k++) {
        key = order[k]
        split(key, part, " ")
        if (part[4] != "sentinel" && part[4] != "handover") continue
        # A window has no counterpart but a pipeline.
        theirs = part[1] " " (part[2] == "window" ? "batch" : part[2]) " " part[3] " hiredis"
        n = count[key]
        if (count[theirs] < n) continue
        print "ratio", part[4], part[1], part[2], part[3], ratio(key, theirs, 5, n, 2), ratio(key, theirs, 5, n, 1), \
            ratio(key, theirs, 5, n, 3), ratio(key, theirs, 8, n, 2)
    }
}
