#!/bin/sh
# ruby-peers.sh LIBRARY...: prints the flags with which Ruby finds these libraries, that others wrote and tests and measurements ask
# for: RUBY_PEERS, where that is set; none, where they are installed; otherwise those of Debian 13, unpacked below build/ruby-peers.
# They are plain Ruby, but for two that Rails asks for: these are of the machine's own Debian.
#
# Exit status 77: one is not here and cannot be had; the last line says which, or why.
set -eu
folder=$(pwd)/build/ruby-peers
gems=usr/share/rubygems-integration/all/gems
missing=

# Whether Ruby finds them so, and redis-rb not older than 5.
has() {
    for missing; do
        # shellcheck disable=SC2086
        ruby $flags -e 'require "logger"; require "minitest" if ARGV[0] == "mocha"; require ARGV[0]
            exit !defined?(Redis) || Redis::VERSION.to_i >= 5' "$missing" 2>/dev/null || return 1
    done
}

# unpack FOLDER SUITE PACKAGE...
unpack() {
    mkdir -p "$folder"
    reason=$("$(dirname "$0")/debian.sh" unpack "$folder/$@") || {
        echo "$missing is not installed for Ruby: $reason" >&2
        exit 77
    }
}

# add FOLDER...: those that there are.
add() {
    for each; do
        [ ! -d "$each/concurrent-ruby" ] || each=$each/concurrent-ruby
        [ ! -d "$each" ] || flags="$flags -I$each"
    done
}

command -v ruby >/dev/null 2>&1 || {
    echo "ruby is not installed" >&2
    exit 77
}
by_path="-r$(pwd)/tests/scripts/ruby_peers.rb"
flags=${RUBY_PEERS:+$by_path $RUBY_PEERS}
if [ -z "$flags" ] && ! has "$@"; then
    names='redis-client redis connection-pool sidekiq rack rack-session rack-test base64 concurrent activejob activemodel
        activesupport globalid i18n tzinfo mocha'
    flags=$by_path
    # shellcheck disable=SC2046
    unpack plain trixie $(printf 'ruby-%s:all ' $names)
    add "$folder/plain/$gems"/*/lib
    case " $* " in
        *" rails "*)
            names='railties actionpack actionview actionmailer activerecord thor zeitwerk mail mini-mime builder erubi
                rails-dom-testing rails-html-sanitizer loofah crass rackup marcel'
            # shellcheck disable=SC2046
            unpack rails trixie $(printf 'ruby-%s:all ' $names)
            unpack own "$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)" ruby-nokogiri ruby-sqlite3
            # shellcheck disable=SC2046
            add "$folder/rails/$gems"/*/lib "$folder/rails/usr/lib/ruby/vendor_ruby" "$folder"/own/usr/lib/ruby/vendor_ruby \
                "$folder"/own/usr/lib/*/ruby/vendor_ruby/* $(find "$folder/own/usr" -path '*/nokogiri-*/lib' -o \
                    -path '*/extensions/*/nokogiri-*' -prune)
            ;;
    esac
fi
if ! has "$@"; then
    echo "$missing is not installed for Ruby" >&2
    exit 77
fi
echo "$flags"
