#!/bin/sh
# deps.sh: licences, duplicates and sources of all libraries; with ADVISORIES=1 also the known vulnerabilities, for which
# the list is fetched from the network.
set -eu
: "${CARGO:=cargo}"
"$CARGO" deny --version >/dev/null 2>&1 || "$CARGO" install cargo-deny --locked
# Offline works once all libraries are here, those of other systems too.
"$CARGO" fetch --locked || true
"$CARGO" deny --offline check --hide-inclusion-graph licenses bans sources
[ -z "${ADVISORIES:-}" ] || "$CARGO" deny check advisories
