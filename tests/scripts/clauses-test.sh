#!/bin/sh
# clauses-test.sh: whether clauses.sh takes what shows a clause, and nothing that is compiled or called by nobody.
set -eu
check=$(cd "$(dirname "$0")" && pwd)/clauses.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
mkdir -p src/room tests/suite/part tests/promises tests/c bindings/go bindings/ruby/test
printf 'check:\n' >Makefile
printf 'mod room;\n' >src/lib.rs
printf '#[cfg(test)]\nmod own_tests;\n#[cfg(test)]\n#[path = "other_tests.rs"]\nmod t;\n' >src/room/mod.rs
printf '#[test]\nfn in_src() {}\n' >src/room/own_tests.rs
printf '#[test]\nfn by_path() {}\n' >src/room/other_tests.rs
printf '#[test]\nfn in_no_module() {}\n' >src/room/lost_tests.rs
printf 'mod part {\n    mod kept;\n}\n' >tests/suite/main.rs
cat >tests/suite/part/kept.rs <<'END'
#[test]
fn kept() {}
#[cfg(any())]
#[test]
fn left_out() {}
#[test]
#[ignore = "long"]
fn ignored() {}
/*
#[test]
fn in_a_comment() {}
*/
fn helper() {}
END
printf '#[test]\nfn lost() {}\n' >tests/suite/part/lost.rs
printf 'mod kept;\n' >tests/promises/main.rs
printf '#[test]\nfn lost() {}\n' >tests/promises/lost.rs
printf 'static void called(void) {}\nstatic void alone(void) {}\nint main(void) { called(); }\n' >tests/c/program.c
printf 'func TestKept(t *testing.T) {}\n/*\nfunc TestGone(t *testing.T) {}\n*/\n' >bindings/go/go_test.go
printf '  def test_kept\n' >bindings/ruby/test/test_it.rb
failed=0

# expect STATUS EVIDENCE
expect() {
    for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do
        printf 'P%s Planted.\n    %s\n' $number "$2"
    done >clauses.txt
    status=0
    "$check" clauses.txt 2>said || status=1
    if [ $status != "$1" ]; then
        echo "$2: clauses.sh ends with $status" >&2
        cat said >&2
        failed=1
    fi
}

for shown in 'make check' 'src in_src' 'src by_path' 'tests/suite/part/kept.rs kept' 'tests/c/program.c' \
    'tests/c/program.c called' 'bindings/go/go_test.go TestKept' 'bindings/ruby/test/test_it.rb test_kept'; do
    expect 0 "$shown"
done
for not in 'make other' 'src in_no_module' 'tests/suite/part/kept.rs left_out' 'tests/suite/part/kept.rs ignored' \
    'tests/suite/part/kept.rs in_a_comment' 'tests/suite/part/kept.rs helper' 'tests/suite/part/lost.rs lost' \
    'tests/promises/lost.rs lost' 'tests/c/program.c alone' 'tests/c/program.c missing' 'tests/c/none.c' \
    'bindings/go/go_test.go TestGone' 'bindings/ruby/test/test_it.rb test_gone'; do
    expect 1 "$not"
done
exit $failed
