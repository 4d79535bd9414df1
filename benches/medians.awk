# Lines "mode workload threads library ops p50 p99 cpu" to the median of each figure; other lines stay, each
# once.
NF == 8 {
    key = $1 " " $2 " " $3 " " $4
    if (!(key in count)) order[++keys] = key
    n = ++count[key]
    for (i = 5; i <= 8; i++) value[key, i, n] = $i + 0
    next
}
!($0 in shown) { shown[$0]; print }
function median(key, i, n,    a, b, t) {
    for (a = 1; a <= n; a++) sorted[a] = value[key, i, a]
    for (a = 2; a <= n; a++) {
        t = sorted[a]
        for (b = a - 1; b >= 1 && sorted[b] > t; b--) sorted[b + 1] = sorted[b]
        sorted[b + 1] = t
    }
    return sorted[int((n + 1) / 2)]
}
END {
    for (k = 1; k <= keys; k++) {
        key = order[k]
        line = key
        for (i = 5; i <= 8; i++) line = line " " median(key, i, count[key])
        print line
    }
}
