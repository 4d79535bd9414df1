# Lines `kind mode ms acknowledged unknown` of bench_failover as an SVG: acknowledged writes a second by time, a panel for each
# kind of failover, a line for each failover.foresee and other client; `failed`: when it began, in ms.
{
    if (!($1 in place)) { place[$1] = ++kinds; kind[kinds] = $1 }
    if (!(($2) in colour)) { mode[++modes] = $2; colour[$2] = substr("#36c #393 #999 #c60 #a3a", 5 * modes - 4, 4) }
    n = ++count[$1, $2]
    at[$1, $2, n] = $3
    rate[$1, $2, n] = $4 * 20
    if ($4 * 20 > top) top = $4 * 20
    if ($3 + 50 > end) end = $3 + 50
}
function text(x, y, anchor, fill, what) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"%s\">%s</text>\n", x, y, anchor, fill, what
}
function x_of(ms) { return 60 + ms * 700 / end }
function y_of(panel, ops) { return 10 + panel * 150 - ops * 100 / top }
# How long nobody was answered.
function pause(k, m,    i, ms, over) {
    for (i = 1; i <= count[k, m]; i++)
        if (at[k, m, i] >= failed && !over) {
            if (rate[k, m, i] == 0) ms += 50
            else if (ms) over = 1
        }
    return ms + 0
}
END {
    name["fail-over"] = "planned: SENTINEL FAILOVER"; name["kill"] = "the primary is killed with -9"
    name["freeze"] = "the primary is frozen (SIGSTOP)"
    height = kinds * 150 + 60
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\" height=\"" height "\" font-family=\"sans-serif\" font-size=\"12\">"
    print "<rect width=\"800\" height=\"" height "\" fill=\"white\"/>"
    text(60, 18, "start", "black", "Acknowledged writes a second of eight writers that try 800; failover.foresee:")
    for (j = 1; j <= modes; j++) text(505 + 52 * (j - 1), 18, "start", colour[mode[j]], mode[j])
    for (i = 1; i <= kinds; i++) {
        text(66, y_of(i, top) - 8, "start", "black", name[kind[i]])
        for (ops = 0; ops <= top; ops += 400) {
            printf "<line x1=\"60\" y1=\"%.1f\" x2=\"760\" y2=\"%.1f\" stroke=\"#ddd\"/>", y_of(i, ops), y_of(i, ops)
            text(54, y_of(i, ops) + 4, "end", "black", ops)
        }
        printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#c33\" stroke-dasharray=\"4 3\"/>\n", \
            x_of(failed), y_of(i, top), x_of(failed), y_of(i, 0)
        for (j = modes; j >= 1; j--) {
            line = ""
            for (b = 1; b <= count[kind[i], mode[j]]; b++)
                line = line sprintf("%.1f,%.1f ", x_of(at[kind[i], mode[j], b] + 25), y_of(i, rate[kind[i], mode[j], b]))
            printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"%s\"/>\n", colour[mode[j]], line
        }
        said = ""
        for (j = 1; j <= modes; j++) said = said (j > 1 ? ", " : "") mode[j] " " pause(kind[i], mode[j]) " ms"
        text(760, y_of(i, top) - 8, "end", "black", "nobody answered for: " said)
        for (ms = 0; ms <= end; ms += 1000) text(x_of(ms), y_of(i, 0) + 16, "middle", "black", ms / 1000 " s")
    }
    print "</svg>"
}
