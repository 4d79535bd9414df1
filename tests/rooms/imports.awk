# imports.awk: which file of src imports which, by the paths that begin with crate, super, self or a module's own child, in
# `use` and in code, tests left out. Given all files; prints `FILE TARGET` once each, and says on standard error, and exits
# with 1 for, what would hide an import from it. What is exported again is taken for what it is: an import through `mod.rs`
# leads to the file that has it. What a file only exports again, of its own room, it does not import.

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

function first(path) {
    sub(/::.*/, "", path)
    return path
}

function wrong(text) {
    print file ": " text > "/dev/stderr"
    failed = 1
}

# ---------------------------------------------------------------------------------------------------------------------
# What is code.

# Where the comment ends that begins with "/*" at the head of `text`: they stand in each other.
function end_of_comment(text,    depth, at) {
    at = 1
    depth = 0
    do {
        if (!match(substr(text, at), /\/\*|\*\//)) return length(text)
        depth += substr(text, at + RSTART - 1, 1) == "/" ? 1 : -1
        at += RSTART + 1
    } while (depth > 0)
    return at - 1
}

# Without comments and without what is in quotes, but for the names of files behind `path =`.
function code(text,    out, kind, len, quoted) {
    out = ""
    while (match(text, /\/\/|\/\*|r#*"|"|'/)) {
        out = out substr(text, 1, RSTART - 1)
        kind = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART)
        if (kind == "//") {
            len = match(text, /\n/) ? RSTART - 1 : length(text)
        } else if (kind == "/*") {
            len = end_of_comment(text)
            out = out " "
        } else if (kind == "'") {
            # Otherwise it is a lifetime.
            len = match(text, /^'(\\[^u]|\\x[0-9a-fA-F]+|\\u\{[^}]*\}|[^'\\]|[\300-\377][\200-\277]+)'/) ? RLENGTH : 1
        } else if (kind ~ /^r/) {
            quoted = substr(kind, 2)
            sub(/"$/, "", quoted)
            len = index(substr(text, length(kind) + 1), "\"" quoted)
            len = len ? length(kind) + len + length(quoted) : length(text)
        } else {
            len = match(text, /^"([^"\\]|\\(.|\n))*"/) ? RLENGTH : length(text)
            if (out ~ /path *= *$/) out = out substr(text, 2, len - 2)
        }
        text = substr(text, len + 1)
    }
    return out text
}

# Where the item ends that `text` begins with: at its semicolon, or with its braces.
function end_of_item(text,    depth, at, char) {
    at = 0
    depth = 0
    while (match(substr(text, at + 1), /[][(){};]/)) {
        at += RSTART
        char = substr(text, at, 1)
        if (char ~ /[[({]/) depth++
        else if (char != ";") depth--
        if (depth < 0 || (depth == 0 && char ~ /[;}]/)) return at
    }
    return length(text)
}

# Without the items that are tests.
function untested(text,    out) {
    out = ""
    while (match(text, /\n#\[cfg\((all\()?test[,)]/)) {
        out = out substr(text, 1, RSTART)
        text = substr(text, RSTART + 1)
        text = substr(text, end_of_item(text) + 1)
    }
    return out text
}

# ---------------------------------------------------------------------------------------------------------------------
# What paths mean.

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
            if (match(inner, /(^|::)\{/)) {
                head = substr(inner, 1, RSTART - 1)
                inner = substr(inner, RSTART + RLENGTH)
                sub(/\}$/, "", inner)
                if (head != "") head = prefix == "" ? head : prefix "::" head
                tree(head == "" ? prefix : head, inner)
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
    if (public && room_of(target(path, 0)) == room_of(file))
        again[name] = path
    else
        arrow(path)
}

function arrow(path,    to) {
    to = target(path, 0)
    if (to == "" || to == file || file == "src/lib.rs" || (file, to) in seen)
        return
    seen[file, to]
    if (to == "src/lib.rs")
        return wrong("imports the root of the crate, by which everything can be reached: name what it needs")
    print file, to
}

# ---------------------------------------------------------------------------------------------------------------------

function room_of(file) {
    sub(/^src\//, "", file)
    sub(/\/.*|\.rs$/, "", file)
    return file
}

# What it may not have, for nobody would see what it brings.
function forbidden(text,    rest) {
    if (text ~ /(^|[^A-Za-z0-9_])include! *[({[]/) wrong("includes a file, whose imports nobody would see")
    if (text ~ /(^|[^A-Za-z0-9_])extern crate /) wrong("gives a crate a name by `extern crate`")
    if (text ~ /#\[macro_(export|use)/) wrong("has a macro that is known without being imported")
    for (rest = text; match(rest, /path *= *[^])]*/); rest = substr(rest, RSTART + RLENGTH))
        if (substr(rest, RSTART, RLENGTH) ~ /\/|(^|[ _])(tests|sim)\.rs/)
            wrong("has a module of another folder, or one of tests that is none: " substr(rest, RSTART, RLENGTH))
    if (match(text, /(^|[^A-Za-z0-9_])mod ([a-z0-9_]*_)?(tests|sim);/))
        wrong("has tests outside of #[cfg(test)], whose files nobody looks at: " substr(text, RSTART + 1, RLENGTH - 1))
}

# Takes all `use` statements of `text`, and gives back the rest.
function statements(text,    rest, statement) {
    rest = ""
    while (match(text, /[^A-Za-z0-9_]use [^;]*;/)) {
        public = substr(text, 1, RSTART) ~ /(^|[^A-Za-z0-9_])pub *(\([^)]*\))? *$/
        rest = rest substr(text, 1, RSTART)
        statement = substr(text, RSTART + 5, RLENGTH - 6)
        text = substr(text, RSTART + RLENGTH)
        gsub(/ *, */, ",", statement)
        gsub(/ *\{ */, "{", statement)
        gsub(/ *\} */, "}", statement)
        tree("", statement)
    }
    return rest text
}

# The paths in code: those that say where they begin, and those of child modules.
function paths(text,    path) {
    while (match(text, /[A-Za-z_][A-Za-z_0-9]*(::[A-Za-z_0-9]+)+/)) {
        path = absolute(substr(text, RSTART, RLENGTH), module)
        if (path != "")
            arrow(path)
        text = substr(text, RSTART + RLENGTH)
    }
}

# A file is one record.
BEGIN { RS = "\001" }

{
    file = FILENAME
    files[++count] = file
    file_of[module_of(file)] = file
    text = untested("\n" code($0))
    gsub(/[ \t\n]+/, " ", text)
    gsub(/ *:: */, "::", text)
    gsub(/\$crate/, "crate", text)
    while (match(text, /[^A-Za-z0-9_]r#[A-Za-z_]/))
        text = substr(text, 1, RSTART) substr(text, RSTART + 3)
    text_of[file] = text
}

END {
    for (pass = 1; pass <= 2; pass++) {
        for (n = 1; n <= count; n++) {
            file = files[n]
            module = module_of(file)
            if (pass == 1) forbidden(text_of[file])
            split("", again)
            rest = statements(text_of[file])
            if (pass == 1) continue
            paths(rest)
            for (name in again)
                if (name == "*" || rest ~ ("(^|[^A-Za-z0-9_])" name "([^A-Za-z0-9_]|$)")) arrow(again[name])
        }
    }
    exit failed
}
