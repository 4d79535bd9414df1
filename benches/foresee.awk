# Lines `kind mode pause MS acknowledged N missing N unknown N others N twice N promoted MS` as a table.
{
    name = $1 " " $2
    if (!(name in runs)) order[++kinds] = name
    run = ++runs[name]
    pause[name, run] = $4
    promoted[name, run] = $16
    acknowledged[name] += $6
    missing[name] += $8
    lossless[name] += $8 == 0
    unknown[name] += $10
    others[name] += $12
    twice[name] += $14
}
function sorted(values, name, into,    count, i, j, value) {
    count = runs[name]
    for (i = 1; i <= count; i++) {
        value = values[name, i]
        for (j = i - 1; j > 0 && into[j] > value; j--) into[j + 1] = into[j]
        into[j + 1] = value
    }
    return count
}
END {
    print "failover    foresee  runs  longest pause, ms  first write after ROLE=master, ms  acknowledged  missing  (none in)  unknown  failed  twice"
    print "                          median      max    median      max"
    for (i = 1; i <= kinds; i++) {
        name = order[i]
        split(name, word, " ")
        split("", by_pause); split("", by_promoted)
        n = sorted(pause, name, by_pause)
        sorted(promoted, name, by_promoted)
        middle = int((n + 1) / 2)
        printf "%-11s %-7s %5d %9.1f %9.1f %9.1f %9.1f %23d %8d %9d %9d %7d %6d\n", word[1], word[2], n, by_pause[middle], by_pause[n], \
            by_promoted[middle], by_promoted[n], acknowledged[name], missing[name], lossless[name], unknown[name], others[name], twice[name]
    }
}
