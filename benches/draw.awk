# The medians of GET by callers on one CPU as an SVG: operations a second, and p99.
NF == 8 && $1 == "pinned" && $2 == "get" {
    if (!($3 in seen)) { seen[$3] = ++columns; callers[columns] = $3 }
    ops[$3, $4] = $5 / 1000
    p99[$3, $4] = $7
}
function nice(top,    step) {
    step = 1
    while (step * 5 < top) step *= (index(step, "2") == 1 ? 2.5 : 2)
    return step
}
function panel(left, title, figures,    top, step, c, l, x, y, line, v) {
    top = 0
    for (c = 1; c <= columns; c++)
        for (l = 1; l <= 3; l++)
            if (figures[callers[c], name[l]] > top) top = figures[callers[c], name[l]]
    step = nice(top)
    printf "<text x=\"%d\" y=\"30\" class=\"title\">%s</text>\n", left, title
    for (v = 0; v <= top; v += step) {
        y = 300 - v / top * 240
        printf "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" class=\"grid\"/>", left, y, left + 340, y
        printf "<text x=\"%d\" y=\"%.1f\" class=\"end\">%g</text>\n", left - 6, y + 4, v
    }
    for (c = 1; c <= columns; c++) {
        x = left + 20 + (c - 1) * 300 / (columns - 1)
        printf "<text x=\"%.1f\" y=\"318\" class=\"mid\">%d</text>\n", x, callers[c]
    }
    printf "<text x=\"%d\" y=\"336\" class=\"mid\">callers</text>\n", left + 170
    for (l = 1; l <= 3; l++) {
        line = ""
        for (c = 1; c <= columns; c++) {
            x = left + 20 + (c - 1) * 300 / (columns - 1)
            y = 300 - figures[callers[c], name[l]] / top * 240
            line = line sprintf("%.1f,%.1f ", x, y)
            printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>", x, y, colour[l]
        }
        printf "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", line, colour[l]
    }
}
END {
    name[1] = "sentinel"; name[2] = "hiredis"; name[3] = "raw"
    colour[1] = "#c0392b"; colour[2] = "#2c6fbb"; colour[3] = "#8a8a8a"
    shown[1] = "libsentinel, one client"; shown[2] = "hiredis, a context a thread"; shown[3] = "send and recv, a socket a thread"
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 840 380\" font-family=\"sans-serif\" font-size=\"12\">"
    print "<style>.grid{stroke:#ddd}.title{font-size:14px;font-weight:bold}.end{text-anchor:end}.mid{text-anchor:middle}</style>"
    print "<rect width=\"840\" height=\"380\" fill=\"#fff\"/>"
    panel(60, "GET of 64 bytes, thousand a second, one CPU", ops)
    panel(480, "p99 of a call, microseconds, one CPU", p99)
    for (l = 1; l <= 3; l++) {
        printf "<rect x=\"%d\" y=\"354\" width=\"14\" height=\"4\" fill=\"%s\"/>", 60 + (l - 1) * 240, colour[l]
        printf "<text x=\"%d\" y=\"361\">%s</text>\n", 80 + (l - 1) * 240, shown[l]
    }
    print "</svg>"
}
