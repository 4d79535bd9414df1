#!/bin/sh
# clauses.sh [FILE]: whether each clause of tests/clauses.txt is shown by tests that are there. The file says at its head
# how it is written.
set -eu
awk -v file="${1:-tests/clauses.txt}" -v sources="$(find src -name '*.rs' | tr '\n' ' ')" '
function wrong(what) {
    printf "%s:%s %s\n", file, number ? number ":" : "", what >"/dev/stderr"
    failed = 1
}

# What a file has to be named for, noted under its path: tests, functions and texts; and how often each word is there.
function read_file(path,    line, name, is_test, is_ignored, is_left_out, comment, rest) {
    if (path in readable) return readable[path]
    readable[path] = 0
    while ((getline line <path) > 0) {
        readable[path] = 1
        if (line ~ /^[ \t]*\/\//) continue
        if (path !~ /\.rb$/) {
            # Comments that go on over lines begin one, but for quotes in which there is what looks like it.
            if (comment) {
                if (line !~ /\*\//) continue
                sub(/^.*\*\//, "", line)
                comment = 0
            }
            if (line ~ /^[ \t]*\/\*/ && line !~ /\*\//) { comment = 1; continue }
        }
        if (line ~ /#\[test\]/) { is_test = 1; is_ignored = 0 }
        if (line ~ /#\[ignore/) is_ignored = 1
        # What no build has.
        if (line ~ /#!?\[cfg\((any\(\)|false|not\(test\))/) is_left_out = 1
        if (match(line, /fn [a-z_0-9]+/)) {
            name = substr(line, RSTART + 3, RLENGTH - 3)
            if (is_test && !is_left_out) has[path, "test", name] = is_ignored ? "ignored" : "run"
            has[path, "function", name] = 1
            is_test = is_left_out = 0
        }
        for (rest = line; match(rest, /[A-Za-z_][A-Za-z_0-9]*/); rest = substr(rest, RSTART + RLENGTH))
            words[path, substr(rest, RSTART, RLENGTH)]++
        if (match(line, /^func (Test|Fuzz)[A-Za-z_0-9]+/)) has[path, "function", substr(line, 6, RLENGTH - 5)] = 1
        if (match(line, /^[ \t]*def test_[a-z_0-9?!]+/)) {
            name = substr(line, RSTART, RLENGTH)
            sub(/^[ \t]*def /, "", name)
            has[path, "function", name] = 1
        }
        if (path ~ /\.(c|h|cpp|hpp)$/ && match(line, /^[a-z][a-z_0-9 ]*[ *][a-z_0-9]+\(/)) {
            name = substr(line, RSTART, RLENGTH - 1)
            sub(/.*[ *]/, "", name)
            has[path, "function", name] = 1
        }
        rest = line
        while (match(rest, /"[^"]*"/)) {
            has[path, "text", substr(rest, RSTART + 1, RLENGTH - 2)] = 1
            rest = substr(rest, RSTART + RLENGTH)
        }
    }
    close(path)
    return readable[path]
}

function text_of(path,    line) {
    if (!(path in texts)) {
        texts[path] = ""
        while ((getline line <path) > 0) if (line !~ /^[ \t]*\/\//) texts[path] = texts[path] line "\n"
        close(path)
    }
    return texts[path]
}

# A file that no other names as its module is compiled by nobody. In tests the main.rs above names it; in src mod.rs or
# the file whose folder it is in, or one beside it, which gives its name as a path.
function is_compiled(path,    folder, module, file, beside, n, sibling, parts) {
    if (path !~ /^(src|tests)\/.*\.rs$/ || path ~ /(^|\/)(main|lib)\.rs$/ || path ~ /^tests\/lab\//) return 1
    folder = file = path
    sub(/\/[^\/]*$/, "", folder)
    sub(/^.*\//, "", file)
    module = file == "mod.rs" ? folder : file
    sub(/^.*\//, "", module)
    sub(/\.rs$/, "", module)
    if (file == "mod.rs") sub(/\/[^\/]*$/, "", folder)
    split(path, parts, "/")
    n = split(folder "/mod.rs " folder "/lib.rs " folder ".rs " parts[1] "/" parts[2] "/main.rs", beside, " ")
    for (; n > 0; n--)
        if (text_of(beside[n]) ~ ("(^|[^a-z_0-9])mod " module ";")) return 1
    for (sibling in is_source)
        if (index(sibling, folder "/") == 1 && index(text_of(sibling), "path = \"" file "\"")) return 1
    return 0
}

function is_unit_test(name,    path) {
    if (!units_known) {
        units_known = split(sources, units, " ")
        for (n = 1; n <= units_known; n++) read_file(units[n])
        for (n = 1; n <= units_known; n++) is_source[units[n]] = 1
    }
    for (path in is_source)
        if ((path, "test", name) in has && has[path, "test", name] == "run" && is_compiled(path)) return 1
    return 0
}

function evidence(line,    path, name) {
    split(line, word, " ")
    path = word[1]
    name = substr(line, length(path) + 2)
    shown++
    if (path == "make") {
        if (!(name in targets)) wrong("the Makefile has no target " name)
        return
    }
    # Files of the library move from room to room, their tests with them.
    if (path == "src") {
        if (!is_unit_test(name)) wrong("no file of src has a test " name)
        return
    }
    if (!read_file(path)) return wrong("there is no " path)
    if (name == "") {
        if (path !~ /^tests\/(c|cpp)\/[^\/]*\.c(pp)?$|^fuzz\/fuzz_targets\//) wrong(path " is no program: name a test in it")
        return
    }
    if (!is_compiled(path)) return wrong("no file names " path " as its module")
    # What is neither run by cargo test nor ignored: the lines of the limits, the invariants of the simulation.
    if (path ~ /^tests\/(sim|limits|soak|crowd)\//) {
        if (!((path, "text", name) in has) && !((path, "function", name) in has)) wrong(path " has no " name)
        return
    }
    if (path ~ /\.rs$/) {
        if (!((path, "test", name) in has)) wrong(path " has no test " name)
        else if (has[path, "test", name] == "ignored") wrong(name " in " path " is ignored: name the target that runs it")
        return
    }
    if (!((path, "function", name) in has)) wrong(path " has no " name)
    else if (path ~ /\.(c|h|cpp|hpp)$/ && name != "main" && words[path, name] < 2) wrong(name " in " path " is called by nobody")
}

function end_clause() {
    if (id != "" && !shown && !excused) { number = begun; wrong(id " has neither a test nor a reason for having none") }
    if (id != "" && text !~ /\.$/) { number = begun; wrong(id " is no sentence") }
    shown = excused = 0
}

BEGIN {
    while ((getline line <"Makefile") > 0)
        if (match(line, /^[a-z-]+:/)) targets[substr(line, 1, RLENGTH - 1)] = 1
    while ((getline line <file) > 0) {
        number++
        if (line ~ /^#/ || line == "") continue
        if (length(line) > 120 && line !~ /^    [a-z]+\//) wrong("longer than 120 columns")
        if (match(line, /^[A-Z][0-9]+[a-z]? /)) {
            end_clause()
            id = substr(line, 1, RLENGTH - 1)
            text = line
            begun = number
            if (id in clauses) wrong(id " is there twice")
            clauses[id] = 1
            promise = id
            sub(/[a-z]$/, "", promise)
            promises[promise] = 1
        } else if (id == "" || line !~ /^    [^ ]/) {
            wrong("neither an id with its sentence nor indented by four")
        } else {
            line = substr(line, 5)
            if (line ~ /^none: [^ ]+ [^ ]/) excused = 1
            else if (line ~ /^lacks: [^ ]+ [^ ]/) continue
            else if (line ~ /^(make |src |[a-z-]+\/)/) evidence(line)
            else if (shown || excused) wrong("what is this? " line)
            else text = text " " line
        }
    }
    if (!number) wrong("there is no such file")
    end_clause()
    for (n = 1; n <= 14; n++) if (!(("P" n) in promises)) { number = 0; wrong("promise P" n " has no clause") }
    exit failed
}'
