# The medians as a table against hiredis, with the ratio of the rounds, its quartiles, and what is wanted.
$1 == "ratio" {
    ratio[$2, $3, $4, $5] = $6
    spread[$2, $3, $4, $5] = sprintf("%.2f-%.2f", $7, $8)
    cpu_ratio[$2, $3, $4, $5] = $9
    next
}
NF == 8 { ops[$1, $2, $3, $4] = $5; p99[$1, $2, $3, $4] = $7; cpu[$1, $2, $3, $4] = $8 }
$1 == "idle" { created = $2; connected = $3 }
$1 == "absent" { absent[$2, $3, $4, $5] }
$1 == "size" { size = $2 }
function verdict(good) { return good ? "met" : "not met" }
# Our workload against hiredis' of the same name, or of the name `other`.
function row(name, mode, workload, threads, wanted, other,    ours, theirs, raw) {
    if (other == "") other = workload
    ours = ops[mode, workload, threads, "sentinel"]
    theirs = ops[mode, other, threads, "hiredis"]
    raw = ops[mode, other, threads, "raw"]
    if ((mode, workload, threads, "sentinel") in absent) {
        printf "%-37s %9s %9.0f %9s %6s %11s %7.2f  %s\n", name, "-", theirs, raw == "" ? "-" : sprintf("%.0f", raw), \
            "-", "", wanted, "not in this version"
        return
    }
    printf "%-37s %9.0f %9.0f %9s %6.2f %11s %7s  %s\n", name, ours, theirs, raw == "" ? "-" : sprintf("%.0f", raw), \
        ratio["sentinel", mode, workload, threads], spread["sentinel", mode, workload, threads], wanted == "" ? "-" : sprintf("%.2f", wanted), \
        wanted == "" ? "" : verdict(ratio["sentinel", mode, workload, threads] >= wanted)
}
# What callers can have that sleep while one thread does the I/O, and nothing else is done.
function floor(threads) {
    printf "%-37s %9.0f %26.2f %11s\n", "  a bare hand-over, " threads " threads", ops["pinned", "get", threads, "handover"], \
        ratio["handover", "pinned", "get", threads], spread["handover", "pinned", "get", threads]
}
END {
    printf "%-37s %9s %9s %9s %6s %11s %7s\n", "operations a second", "sentinel", "hiredis", "raw", "ratio", "quartiles", \
        "wanted"
    row("GET 64 B, 1 thread, one CPU", "pinned", "get", 1, 1.0)
    row("SET 64 B, 1 thread, one CPU", "pinned", "set", 1, 1.0)
    row("GET 64 B, 2 threads, one CPU", "pinned", "get", 2, "")
    row("GET 64 B, 4 threads, one CPU", "pinned", "get", 4, "")
    row("GET 64 B, 8 threads, one CPU", "pinned", "get", 8, 2.4)
    row("GET 64 B, 32 threads, one CPU", "pinned", "get", 32, 3.6)
    row("GET 64 B, 1 thread, free", "free", "get", 1, "")
    row("GET 64 B, 32 threads, free", "free", "get", 32, 1.9)
    row("GET 64 B, 128 threads, free", "free", "get", 128, 2.0)
    row("batch of 100 GETs, one CPU", "pinned", "batch", 1, 1.15)
    row("window of 1,000 to a pipeline of 100", "pinned", "window", 1, 1.0, "batch")
    row("GET 1 MiB, one CPU", "pinned", "large", 1, 1.0)
    row("LRANGE of 1,000, walked, one CPU", "pinned", "list", 1, 1.2)
    floor(8)
    floor(32)
    ours = cpu["pinned", "get", 32, "sentinel"]
    theirs = cpu["pinned", "get", 32, "hiredis"]
    used = cpu_ratio["sentinel", "pinned", "get", 32]
    printf "%-37s %9.2f %9.2f %9s %6.2f %19.2f  %s\n", "CPU us an op, 32 threads, one CPU", ours, theirs, "-", used, 0.5, \
        verdict(used <= 0.5)
    printf "%-37s %9.1f\n", "KiB a client, created only", created
    printf "%-37s %9.1f %46.0f  %s\n", "KiB a client, connected and idle", connected, 50, verdict(connected <= 50)
    printf "%-37s %9.0f %46.0f  %s\n", "KiB of the stripped .so", size / 1024, 3072, verdict(size <= 3 * 1024 * 1024)
}
