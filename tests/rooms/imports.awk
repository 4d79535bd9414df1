# imports.awk: which file of src imports which, by the paths that begin with crate, super or self, in `use` lines and in
# code, tests left out. Given all files twice, with pass=1 in front of the first time (modules, and what they export again)
# and pass=2 in front of the second; prints `FILE TARGET` once each. What is exported again is taken for what it is: an
# import through `mod.rs` leads to the file that has it.

function module_of(file) {
    sub(/^src\//, "", file)
    sub(/\.rs$/, "", file)
    sub(/\/mod$/, "", file)
    gsub(/\//, "::", file)
    return file == "lib" ? "crate" : "crate::" file
}

function parent(module) {
    sub(/::[^:]*$/, "", module)
    return module
}

# The path from the crate's root on.
function absolute(path, from,    module) {
    if (path ~ /^crate(::|$)/)
        return path
    module = from
    if (path ~ /^self::/)
        return module "::" substr(path, 7)
    if (path !~ /^super(::|$)/)
        return (module "::" first(path)) in file_of ? module "::" path : ""
    while (path ~ /^super(::|$)/) {
        module = parent(module)
        path = substr(path, 8)
    }
    return path == "" ? module : module "::" path
}

function first(path) {
    sub(/::.*/, "", path)
    return path
}

# The file in which what a path names is written.
function target(path, depth,    parts, count, i, module) {
    if (depth > 8)
        return ""
    count = split(path, parts, "::")
    module = parts[1]
    for (i = 2; i <= count; i++) {
        if ((module "::" parts[i]) in file_of)
            module = module "::" parts[i]
        else if ((module, parts[i]) in exported)
            return target(exported[module, parts[i]], depth + 1)
        else
            break
    }
    return file_of[module]
}

# Takes each leaf of a use tree, such as a::{b, c::{d, e}}.
function tree(prefix, text,    depth, i, char, begin, inner, head) {
    depth = 0
    begin = 1
    for (i = 1; i <= length(text) + 1; i++) {
        char = substr(text, i, 1)
        if (char == "{") depth++
        if (char == "}") depth--
        if ((char == "," || char == "") && depth == 0) {
            inner = substr(text, begin, i - begin)
            begin = i + 1
            if (inner == "") continue
            if (match(inner, /::\{/)) {
                head = substr(inner, 1, RSTART - 1)
                inner = substr(inner, RSTART + 3)
                sub(/\}$/, "", inner)
                tree(prefix == "" ? head : prefix "::" head, inner)
            } else
                leaf(prefix == "" ? inner : prefix "::" inner)
        }
    }
}

function leaf(path,    name) {
    name = path
    if (match(path, / as /)) {
        name = substr(path, RSTART + 4)
        path = substr(path, 1, RSTART - 1)
    } else
        sub(/.*::/, "", name)
    sub(/::self$/, "", path)
    path = absolute(path, module)
    if (path == "")
        return
    if (pass == 1) {
        if (public)
            exported[module, name] = path
        return
    }
    if (!public)
        arrow(path)
}

function arrow(path,    to) {
    to = target(path, 0)
    if (to == "" || to == FILENAME || to == "src/lib.rs" || (FILENAME, to) in seen)
        return
    seen[FILENAME, to]
    print FILENAME, to
}

FNR == 1 {
    module = module_of(FILENAME)
    if (pass == 1)
        file_of[module] = FILENAME
    statement = ""
    testing = 0
}

# Tests stand at the end of a file or in files of their own.
/^#\[cfg\(test\)\]/ || /^#\[cfg\(all\(test/ { held = 1; next }
held { if ($0 ~ /^#/) next; held = 0; if ($0 ~ /^mod [a-z_]+ \{/) testing = 1; if ($0 !~ /;$/ && $0 !~ /\{$/) next; if ($0 ~ /;$/) next }
testing { next }
{ sub(/\/\/.*/, "") }

statement != "" || /^ *(pub(\([a-z ]+\))? )?use / {
    if (statement == "")
        public = $0 ~ /^ *pub/
    line = $0
    gsub(/^ +/, "", line)
    statement = statement (statement ~ /[a-z]$/ ? " " : "") line
    if (statement !~ /;/)
        next
    sub(/^(pub(\([a-z ]+\))? )?use /, "", statement)
    sub(/;.*/, "", statement)
    gsub(/, */, ",", statement)
    gsub(/\{ */, "{", statement)
    tree("", statement)
    statement = ""
    next
}

pass == 2 {
    line = $0
    while (match(line, /(crate|super|self)(::[A-Za-z_0-9]+)+/)) {
        path = absolute(substr(line, RSTART, RLENGTH), module)
        if (path != "")
            arrow(path)
        line = substr(line, RSTART + RLENGTH)
    }
}
