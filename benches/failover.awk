# The bins of bench_failover as an SVG: acknowledged writes a second by time; `killed`: when the primary was, in ms.
$1 == "others" { next }
{ at[++count] = $1; rate[count] = $2 * 20; unknown += $3; if (rate[count] > top) top = rate[count] }
function text(x, y, anchor, what) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, what
}
function x_of(ms) { return 60 + ms * 700 / (at[count] + 50) }
function y_of(ops) { return 200 - ops * 150 / top }
END {
    for (i = 1; i <= count; i++)
        if (at[i] >= killed && !over) {
            if (rate[i] == 0 && !first) first = at[i]
            if (rate[i] == 0) last = at[i] + 50
            else if (first) over = 1
        }
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\" height=\"260\" font-family=\"sans-serif\" font-size=\"12\">"
    print "<rect width=\"800\" height=\"260\" fill=\"white\"/>"
    text(60, 24, "start", "Acknowledged writes a second, eight threads that write 800 a second in all; the primary is killed")
    for (ops = 0; ops <= top; ops += 200) {
        printf "<line x1=\"60\" y1=\"%.1f\" x2=\"760\" y2=\"%.1f\" stroke=\"#ddd\"/>", y_of(ops), y_of(ops)
        text(54, y_of(ops) + 4, "end", ops)
    }
    for (ms = 0; ms <= at[count] + 50; ms += 1000) text(x_of(ms), 218, "middle", ms / 1000 " s")
    printf "<line x1=\"%.1f\" y1=\"40\" x2=\"%.1f\" y2=\"200\" stroke=\"#c33\" stroke-dasharray=\"4 3\"/>\n", x_of(killed), x_of(killed)
    text(x_of(killed) + 4, 48, "start", "kill -9")
    line = ""
    for (i = 1; i <= count; i++) line = line sprintf("%.1f,%.1f ", x_of(at[i] + 25), y_of(rate[i]))
    printf "<polyline fill=\"none\" stroke=\"#36c\" stroke-width=\"1.5\" points=\"%s\"/>\n", line
    text((x_of(first) + x_of(last)) / 2, 106, "middle", "calls wait " (last - first) / 1000 " s,")
    text((x_of(first) + x_of(last)) / 2, 121, "middle", "then go to the new primary")
    text(60, 246, "start", "Under way when it died, and failed with the outcome UNKNOWN: " unknown ". Every other write succeeded.")
    print "</svg>"
}
