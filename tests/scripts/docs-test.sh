#!/bin/sh
# docs-test.sh: compiles and runs the code of docs/*.md and the bindings' READMEs, each guide inside a topology of its own.
#
# What stands behind the language of a code block says what is done with it:
#   ```c            part of a function that has sentinel, primary, replica, service, reply and error; compiled and run
#   ```cpp          the same with deployment, primary, replica, service
#   ```go           the same with ctx, db, primary, replica, service; may return an error
#   ```ruby         the same with redis, primary, replica, service
#   ```c main       a whole program, run with the URL of the topology as its argument; cpp, go and ruby too. In ruby
#                   SENTINELS are their URLs for other libraries, which are as ruby-peers.sh finds them
#   ```c compile    compiled only; cpp and go too
#   ```c before     of another library: neither
#   ```c file NAME  a file of an example with several: kit-test.sh has them
# In a part of a function that begins with #include, what ends with the last line that is a brace alone stands before the
# function. The library of an adapter's loop is taken from pkg-config.
# Every other language is left alone, but for names of languages that are misspelt.
#
# What is not in this version of the library, or a language that is not installed, is skipped by name.
set -eu
: "${CC:=cc}" "${CXX:=g++}" "${LAB:=target/debug/lab}" "${SOVERSION:=0}"
root=$(pwd)
out=$root/build/docs
prefix=$root/build/prefix

# extract GUIDE FOLDER: each block a file, NUMBER.LANGUAGE.HOW; how is run, main or compile.
extract() {
    rm -rf "$2"
    mkdir -p "$2"
    awk -v folder="$2" '
        /^```/ && inside { inside = 0; if (file != "") close(file); file = ""; next }
        /^```/ {
            inside = 1
            language = substr($1, 4)
            if (language !~ /^(c|cpp|go|ruby)$/) {
                if (language !~ /^(sh|text|cmake|meson|ini|promql|json|yaml)$/) {
                    print FILENAME ":" FNR ": a code block of no known language: " $0 > "/dev/stderr"
                    exit 1
                }
                next
            }
            how = $2 == "" ? "run" : $2
            if (how == "before" || how == "file") next
            file = sprintf("%s/%02d.%s.%s", folder, ++count, language, how)
            printf "" > file
            next
        }
        inside && file != "" { print > file }
    ' "$1"
}

# part before|inside FILE: of the function.
part() {
    awk -v part="$1" '
        FNR == NR { if (/^#include/ && (FNR == 1 || last) || /^}$/ && last) last = FNR; next }
        (FNR <= last) == (part == "before")
    ' "$2" "$2"
}

# wrap LANGUAGE HOW FILE: a whole program on standard output.
wrap() {
    case $1.$2 in
        ruby.main)
            # shellcheck disable=SC2016
            printf 'SENTINELS = ENV.fetch("SENTINELS").split(",").map { |address| "redis://#{address}" }\n'
            cat "$3"
            ;;
        *.main) cat "$3" ;;
        c.*)
            cat <<'END'
#include <poll.h>
#include <sentinel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
END
            part before "$3"
            cat <<'END'
static int example(sentinel_t *sentinel, sentinel_client_t *primary, sentinel_client_t *replica, const char *service) {
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;
    (void)sentinel, (void)primary, (void)replica, (void)service;
END
            part inside "$3" | sed 's/^/    /'
            cat <<'END'
    int failed = error != NULL;
    if (failed)
        fprintf(stderr, "%s: %s\n", sentinel_status_name(sentinel_error_status(error)),
                sentinel_error_message(error, NULL));
    if (sentinel_error_status(error) == SENTINEL_ERR_UNAVAILABLE)
        failed = 77;
    sentinel_error_free(error);
    sentinel_reply_free(reply);
    return failed;
}
int main(int argc, char **argv) {
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_client_t *primary = NULL, *replica = NULL;
    int failed = argc != 3 || sentinel_options_parse_url(options, argv[1], NULL) != SENTINEL_OK ||
                 sentinel_open(options, &sentinel, NULL) != SENTINEL_OK ||
                 sentinel_primary_for(sentinel, NULL, NULL, &primary, NULL) != SENTINEL_OK ||
                 sentinel_replica_for(sentinel, NULL, NULL, &replica, NULL) != SENTINEL_OK;
    if (!failed)
        failed = example(sentinel, primary, replica, argv[2]);
    sentinel_client_free(replica);
    sentinel_client_free(primary);
    sentinel_free(sentinel);
    sentinel_options_free(options);
    return failed;
}
END
            ;;
        cpp.*)
            printf '#include <sentinel.hpp>\n#include <iostream>\n#include <map>\nusing namespace std::chrono_literals;\n'
            part before "$3"
            printf 'static void example([[maybe_unused]] const sentinel::deployment &deployment,\n'
            printf '    [[maybe_unused]] const sentinel::client &primary, [[maybe_unused]] const sentinel::client &replica,\n'
            printf '    [[maybe_unused]] const std::string &service) {\n'
            part inside "$3" | sed 's/^/    /'
            cat <<'END'
}
int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    try {
        const sentinel::deployment deployment{std::string_view(argv[1])};
        example(deployment, deployment.primary_for(argv[2]), deployment.replica_for(argv[2]), argv[2]);
        return 0;
    } catch (const sentinel::unavailable &error) {
        std::cerr << error.what() << '\n';
        return 77;
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
END
            ;;
        go.*)
            body=$(sed 's/^/\t/' "$3")
            printf 'package main\n\nimport (\n\t"context"\n\t"errors"\n\t"fmt"\n\t"os"\n\t"time"\n\n\t"libsentinel/sentinel"\n)\n\n'
            printf 'var _, _, _ = errors.Is, fmt.Println, time.Second\n\n'
            printf 'func example(ctx context.Context, db *sentinel.DB, primary, replica *sentinel.Client, service string) error {\n'
            printf '%s\n' "$body"
            case $body in *"	return nil") ;; *) printf '\treturn nil\n' ;; esac
            cat <<'END'
}

func main() {
	db, err := sentinel.Open(os.Args[1])
	var primary, replica *sentinel.Client
	if err == nil {
		primary, err = db.Primary("")
	}
	if err == nil {
		replica, err = db.Replica("")
	}
	if err == nil {
		err = example(context.Background(), db, primary, replica, os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, sentinel.ErrUnavailable) {
			os.Exit(77)
		}
		os.Exit(1)
	}
}
END
            ;;
        ruby.*)
            cat <<'END'
require "sentinel_redis"
redis = SentinelRedis.new(ARGV[0])
primary, replica, service = redis.primary, redis.replica, ARGV[1]
_ = [primary, replica, service]
begin
END
            cat "$3"
            cat <<'END'
rescue SentinelRedis::UnavailableError => e
  warn e.message
  exit 77
end
END
            ;;
    esac
}

# loop_of SOURCE: the flags of the library whose adapter it includes. Exit status 77: not here.
loop_of() {
    adapter=$(sed -n 's|^#include <sentinel/adapters/\(.*\)>|\1|p' "$1")
    case $adapter in
        '') return ;;
        asio.hpp)
            printf '#include <asio.hpp>\n' | $CXX -E -x c++ - >/dev/null 2>&1 || { echo "asio is not installed" >&2; exit 77; }
            return
            ;;
        glib.h) library=glib-2.0 ;;
        sd-event.h) library=libsystemd ;;
        *) library=${adapter%.h} ;;
    esac
    pkg-config --cflags --libs "$library" 2>/dev/null || { echo "pkg-config does not know $library" >&2; exit 77; }
}

# build LANGUAGE SOURCE PROGRAM. Exit status 77: the language is not installed.
build() {
    strict="-Wall -Wextra -Werror -Wno-unused-but-set-variable"
    link="-I$root/include -L$root/build/lib -Wl,-rpath,$root/build/lib -l:libsentinel.so.$SOVERSION -lpthread"
    case $1 in
        c)
            need "${CC%% *}"
            loop=$(loop_of "$2") || exit
            # shellcheck disable=SC2086
            $CC -std=c11 -D_GNU_SOURCE -g $strict "$2" -o "$3" $link $loop
            ;;
        cpp)
            need "${CXX%% *}"
            loop_of "$2"
            $CXX -std=c++17 -g $strict "$2" -o "$3" $link
            ;;
        go)
            need go
            (cd bindings/go && PKG_CONFIG_PATH="$prefix/lib/pkgconfig" GOFLAGS=-mod=mod GOPROXY=off go build -o "$3" "$2")
            ;;
        ruby)
            need ruby
            ruby -e 'require "ffi"' 2>/dev/null || { echo "the gem ffi is not installed" >&2; exit 77; }
            ruby -c "$2" >/dev/null
            # Libraries of others.
            for library in $(sed -n 's/^require "\(redis\|sidekiq\|active_support\|sentinel_redis\/redis_client\)"$/\1/p' "$2"); do
                [ "$library" != sentinel_redis/redis_client ] || library=redis_client
                tests/scripts/ruby-peers.sh "$library" >/dev/null || exit
            done
            ;;
    esac
}

need() {
    command -v "$1" >/dev/null 2>&1 || { echo "$1 is not installed" >&2; exit 77; }
}

# Inside the topology: every program that was built for the guide.
if [ "${1:-}" = --run ]; then
    skipped=0
    export LD_LIBRARY_PATH="$prefix/lib" LIBSENTINEL="$prefix/lib/libsentinel.so"
    peers=$(tests/scripts/ruby-peers.sh redis_client redis sidekiq active_support 2>/dev/null) || peers=${RUBY_PEERS:-}
    for program in "$2"/*.exe; do
        [ -e "$program" ] || continue
        set -- "$2" "$program" "redis+sentinel://$SENTINELS/$SERVICE" "$SERVICE"
        status=0
        # shellcheck disable=SC2086
        case $program in
            *.rb.exe) timeout -k 5 60 ruby -w $peers -Ibindings/ruby/lib "$2" "$3" "$4" || status=$? ;;
            *) timeout -k 5 60 "$2" "$3" "$4" || status=$? ;;
        esac
        case $status in
            0) ;;
            77) echo "skipped: $program"; skipped=77 ;;
            *) echo "$program ended with $status"; exit 1 ;;
        esac
    done
    exit $skipped
fi

# One guide.
if [ "${1:-}" = --guide ]; then
    folder=$out/$(echo "${2%.md}" | tr / -)
    extract "$2" "$folder"
    skipped=0
    for block in "$folder"/*.*.*; do
        [ -e "$block" ] || continue
        how=${block##*.}
        language=${block%.*}
        language=${language##*.}
        case $language in
            ruby) source=$block.rb program=$block.rb.exe ;;
            *) source=$block.$language program=$block.exe ;;
        esac
        wrap "$language" "$how" "$block" >"$source"
        status=0
        (build "$language" "$source" "$program") || status=$?
        case $status in
            0) ;;
            77) skipped=77; continue ;;
            *) echo "$2: this does not compile:"; cat "$block"; exit 1 ;;
        esac
        [ "$language" != ruby ] || cp "$source" "$program"
        [ "$how" != compile ] || rm -f "$program"
    done
    ls "$folder"/*.exe >/dev/null 2>&1 || exit $skipped
    timeout --foreground -k 10 300 "$LAB" run -- "$0" --run "$folder" >"$folder/log" 2>&1 || {
        status=$?
        cat "$folder/log"
        exit $status
    }
    exit $skipped
fi

mkdir -p "$out"
failed=0
for guide in docs/*.md bindings/*/README.md; do
    if grep -qE '^```(c|cpp|go|ruby)$|^```(c|cpp|go|ruby) (main|compile)$' "$guide"; then
        tests/scripts/step.sh "$guide" "$0" --guide "$guide" || failed=1
    fi
done
tests/scripts/kit-test.sh || failed=1
# A link that leads nowhere.
for guide in *.md docs/*.md bindings/*/README.md; do
    for target in $(grep -o '](\([^)#:]*\)[)#]' "$guide" | sed 's/^](//; s/[)#]$//'); do
        [ -e "$(dirname "$guide")/$target" ] || { echo "$guide links to $target, which is not there"; failed=1; }
    done
done
exit $failed
