# The medians of GET by callers on one CPU as an SVG: operations a second, and p99.
NF == 8 && $1 == "pinned" && $2 == "get" {
    if (!($3 in seen)) { seen[$3] = ++columns; callers[columns] = $3 }
    ops[$3, $4] = $5 / 1000
    p99[$3, $4] = $7
}
function text(x, y, anchor, what) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, what
}
# 1, 2, 5, 10, 20, 50, ...: at most five steps to the top.
function nice(top,    step) {
    step = 1
    while (step * 5 < top) step *= (index(step, "2") == 1 ? 2.5 : 2)
    return step
}
# The height of a figure between `low` and `top`.
function place(figure, low, top, logarithmic) {
    return 300 - 240 * (logarithmic ? log(figure / low) / log(top / low) : (figure - low) / (top - low))
}
function grid(left, value, low, top, logarithmic,    y) {
    y = place(value, low, top, logarithmic)
    printf "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/>", left, y, left + 340, y
    text(left - 6, y + 4, "end", value)
}
function panel(left, title, figures, logarithmic,    top, low, step, c, l, x, y, line, v) {
    low = top = figures[callers[1], name[1]]
    for (c = 1; c <= columns; c++)
        for (l = 1; l <= 3; l++) {
            v = figures[callers[c], name[l]]
            if (v > top) top = v
            if (v < low) low = v
        }
    printf "<g font-weight=\"bold\">"
    text(left, 30, "start", title)
    print "</g>"
    if (logarithmic) {
        for (step = 1; step * 10 <= low; step *= 10) continue
        low = step
        for (v = low; v < top; v *= 10) grid(left, v, low, top, 1)
        for (v = low * 3; v < top; v *= 10) grid(left, v, low, top, 1)
    } else {
        low = 0
        step = nice(top)
        for (v = 0; v <= top; v += step) grid(left, v, low, top, 0)
    }
    for (c = 1; c <= columns; c++) text(left + 20 + (c - 1) * 300 / (columns - 1), 318, "middle", callers[c])
    text(left + 170, 336, "middle", "callers")
    for (l = 1; l <= 3; l++) {
        line = ""
        for (c = 1; c <= columns; c++) {
            x = left + 20 + (c - 1) * 300 / (columns - 1)
            y = place(figures[callers[c], name[l]], low, top, logarithmic)
            line = line sprintf("%.1f,%.1f ", x, y)
            printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>", x, y, colour[l]
        }
        printf "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", line, colour[l]
    }
}
END {
    name[1] = "sentinel"; name[2] = "hiredis"; name[3] = "raw"
    colour[1] = "#c0392b"; colour[2] = "#2c6fbb"; colour[3] = "#8a8a8a"
    shown[1] = "libsentinel, one client"; shown[2] = "hiredis, a context a thread"
    shown[3] = "send and recv, a socket a thread"
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 840 380\" "
    print "font-family=\"sans-serif\" font-size=\"12\">"
    print "<rect width=\"840\" height=\"380\" fill=\"#fff\"/>"
    panel(60, "GET of 64 bytes, thousand a second, one CPU", ops, 0)
    panel(480, "p99 of a call, microseconds (logarithmic), one CPU", p99, 1)
    for (l = 1; l <= 3; l++) {
        printf "<rect x=\"%d\" y=\"354\" width=\"14\" height=\"4\" fill=\"%s\"/>", 60 + (l - 1) * 240, colour[l]
        text(80 + (l - 1) * 240, 361, "start", shown[l])
    }
    print "</svg>"
}
