# order.awk: whether the imports (`FILE TARGET` a line) keep to the order of the rooms, which are given first. Prints the
# rooms with their arrows; what is wrong on standard error, and exits with 1.

function room_of(file) {
    sub(/^src\//, "", file)
    sub(/\/.*|\.rs$/, "", file)
    return file
}

function wrong(text) {
    print text > "/dev/stderr"
    failed = 1
}

FNR == NR {
    sub(/#.*/, "")
    if (NF) {
        rooms[++count] = $1
        place[$1] = count
    }
    next
}

{
    from = room_of($1)
    to = room_of($2)
    if (!(from in place)) wrong($1 ": there is no room \"" from "\"")
    else if (!(to in place)) wrong($2 ": there is no room \"" to "\"")
    else if (place[from] > place[to]) wrong($1 " (" from ") imports " $2 " (" to "), which is above it")
    arrows[from, to]++
    if (from != to) next
    source[++imports] = $1
    target[imports] = $2
    after[$1]++
    before[$2]++
}

END {
    for (i = 1; i <= count; i++) {
        line = sprintf("%-11s", rooms[i])
        for (j = i + 1; j <= count; j++)
            if ((rooms[i], rooms[j]) in arrows)
                line = line " " rooms[j] "(" arrows[rooms[i], rooms[j]] ")"
        print line
    }
    # Files that import nothing, or that nobody imports, are in no circle; what is left when they are taken away is.
    do {
        changed = 0
        for (i = 1; i <= imports; i++) {
            if (!(i in gone) && (!after[target[i]] || !before[source[i]])) {
                gone[i]
                after[source[i]]--
                before[target[i]]--
                changed = 1
            }
        }
    } while (changed)
    for (i = 1; i <= imports; i++)
        if (!(i in gone)) wrong(source[i] " imports " target[i] ": part of a circle")
    exit failed
}
