# libsentinel. `make help` lists the targets.
#
# Honoured: CARGO, CARGO_TARGET_DIR, CC, CFLAGS, LDFLAGS, CXX, CXXFLAGS, AR, NM, OBJCOPY, PREFIX, LIBDIR, INCLUDEDIR, MANDIR,
# BINDIR, SYSCONFDIR, UNITDIR, SYSUSERSDIR, DESTDIR, LIB_RUSTFLAGS.

CARGO ?= cargo
# For the library alone; empty where rustc has another backend than LLVM.
LIB_RUSTFLAGS ?= -C llvm-args=-inline-threshold=110
CARGO_TARGET_DIR ?= target
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
BINDIR ?= $(PREFIX)/bin
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
INSTALL ?= install
NM ?= nm
OBJCOPY ?= objcopy
# What libsentinel.a needs besides libc and the compiler's own runtime:
# `cargo rustc --release --lib --crate-type staticlib -- --print native-static-libs` prints the list.
LIBS_PRIVATE ?= -lutil -lrt -lpthread -lm -ldl

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SOVERSION := $(firstword $(subst ., ,$(VERSION)))
RELEASE := $(CARGO_TARGET_DIR)/release
SO := $(RELEASE)/libsentinel.so
A := $(RELEASE)/libsentinel.a
# Programs ask for the library by its SONAME: those of the tests find it here. Others run meanwhile, so it is always there.
UNINSTALLED := build/lib/libsentinel.so.$(SOVERSION)
LAB := $(CARGO_TARGET_DIR)/debug/lab
# The same program as others get it.
KIT := $(RELEASE)/lab
KIT_PAGE := tests/lab/libsentinel-lab.1
HEADER := include/sentinel.h
HPP := $(wildcard include/sentinel/*.hpp)
ADAPTERS := $(wildcard include/sentinel/adapters/*)
CMAKE_FILES := sentinel-config.cmake sentinel-config-version.cmake
REFERENCE := packaging/reference.awk
MAN := build/man/libsentinel.3
# Puts this version and these folders into a template.
FILL_IN = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	-e 's|@VERSION@|$(VERSION)|' -e 's|@SOVERSION@|$(SOVERSION)|' -e 's|@LIBS_PRIVATE@|$(LIBS_PRIVATE)|' \
	-e 's|@BINDIR@|$(BINDIR)|' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|' \
	-e "s|@INCLUDEDIR_FROM_LIBDIR@|$$(realpath -m --relative-to='$(LIBDIR)' '$(INCLUDEDIR)')|"
SOURCES := $(wildcard Cargo.toml Cargo.lock build.rs cbindgen.toml) $(shell find src -name '*.rs')
STEP := tests/scripts/step.sh
# For the scripts; a recipe that says $(MAKE) itself would run under `make -n`.
MAKE_COMMAND := $(MAKE)

export MAKE_COMMAND CARGO CARGO_TARGET_DIR CC CXX AR NM OBJCOPY CFLAGS CXXFLAGS LDFLAGS LIBS_PRIVATE VERSION SOVERSION RELEASE LAB LIB_RUSTFLAGS

.NOTPARALLEL:
.PHONY: all lib lab kit setup setup-demo demo test check check-drift check-format check-clippy check-header check-rooms \
	check-sources check-clauses check-folders check-msrv check-portable check-systems bless unit integration integration-waiting \
	integration-computing integration-measured other-servers check-servers sim promises bench bench-failover \
	bench-foresee bench-bindings bench-socket bench-clients setup-bench prefix \
	c-tests cpp-tests cpp-headers cpp-compile cpp-programs go-tests ruby-tests ruby-sidekiq clients-hiredis clients-redis-rb \
	clients-redis-client clients-sidekiq docs-tests check-valgrind check-asan \
	check-tsan \
	check-leaks check-forks check-limits check-tls-storm check-deps \
	fuzz soak crowd \
	places install uninstall install-lab uninstall-lab install-test \
	check-install check-symbols check-archive check-cmake check-meson check-man check-abi abi-baseline \
	dist check-dist check-recipes check-targets check-musl check-arm64 check-distros deb check-deb man html clean help

all: lib man ## build the library: libsentinel.so, libsentinel.a, include/sentinel.h
	@echo "$(SO)"
	@echo "$(A)"
	@echo "$(HEADER)"

# Without the crate type `lib`, which the Rust tests need: beside it cargo optimizes across no crate, and the shared
# object is a tenth larger. LLVM inlines less than it would (225): a twelfth, and no call is slower (make bench); with 50
# another twelfth less, and lists and submissions lose a twentieth. With a profile of make bench's own calls many callers
# are 4 to 12 percent faster and one alone 1 to 4 slower, and the object is a tenth larger whatever is inlined; with
# opt-level "s" it is a tenth smaller, and submissions lose 8 percent.
lib:
	@$(CARGO) rustc --release --lib --crate-type cdylib,staticlib -- $(LIB_RUSTFLAGS)
	@touch $(SO) $(A)
	@mkdir -p $(dir $(UNINSTALLED))
	@[ "$$(readlink $(UNINSTALLED))" = "$(abspath $(SO))" ] || ln -sf "$(abspath $(SO))" $(UNINSTALLED)

# For `make install`, which may run as another user without cargo: nothing is built that is already up to date.
$(SO): $(SOURCES)
	@$(MAKE) --no-print-directory lib

man: $(MAN) ## the manual pages, one a function, from the header: build/man

# A page for each function; the rule's target stands for all.
$(MAN): $(HEADER) $(REFERENCE) docs/options.md Cargo.toml
	@rm -rf build/man && mkdir -p build/man
	@awk -v form=man -v version=$(VERSION) -v out=build/man -f $(REFERENCE) $(HEADER) docs/options.md

html: ## the same reference as one page: build/html/index.html
	@mkdir -p build/html
	@awk -v form=html -v version=$(VERSION) -v out=build/html -f $(REFERENCE) $(HEADER)
	@echo build/html/index.html

lab:
	@$(CARGO) build --package sentinel-lab --bin lab

setup: ## install what the tests need and this machine lacks
	@tests/scripts/setup.sh test

setup-demo:
	@tests/scripts/setup.sh demo

demo: setup-demo lib lab ## see a failover survived: a private topology, a killed primary, a summary
	@tests/scripts/compile.sh examples build/demo
	@$(LAB) demo build/demo/quickstart build/demo/failover

test: ## every check and test
	@tests/scripts/test.sh

check: check-drift check-format check-clippy check-header check-rooms check-sources check-clauses check-folders ## all static checks

# The first of them: any build without SENTINEL_HEADER_CHECK would bring the header up to date.
check-drift:
	@$(STEP) "header is up to date" tests/scripts/check.sh drift

check-format:
	@$(STEP) "format" tests/scripts/check.sh format

check-clippy:
	@$(STEP) "clippy" tests/scripts/check.sh clippy

check-rooms: ## the rooms of src and their imports: downwards and in no circle; files over 500 lines; repeated lines
	@$(STEP) "rooms" tests/rooms/check.sh

check-header:
	@$(STEP) "header in C and C++" tests/scripts/check.sh header

check-msrv: ## the library with the oldest Rust that is promised, rust-version in Cargo.toml (rustup gets it; 1 minute)
	@$(STEP) "oldest Rust" tests/scripts/check.sh msrv

check-portable: lab ## the tests with what every system has in place of futexes, epoll and event descriptors (6 minutes)
	@$(STEP) "portable: unit tests" $(CARGO) test --features portable --lib
	@$(STEP) "portable: suite" env RUST_TEST_THREADS=4 $(CARGO) test --features portable --test suite
	@$(STEP) "portable: promises" env RUST_TEST_THREADS=2 $(CARGO) test --features portable --test promises

check-systems: ## the library's types on macOS, FreeBSD and NetBSD (rustup gets their standard libraries; 2 minutes)
	@$(STEP) "other systems" tests/scripts/check.sh systems

# What is printed from the header and the table of options, and what repeats them.
check-sources:
	@$(STEP) "one source" $(CARGO) test --quiet --test sources

bless: ## print anew what has another source: docs/options.md, docs/api.md, Ruby's numbers
	@BLESS=1 $(CARGO) test --quiet --test sources

check-clauses:
	@$(STEP) "what shows a clause" tests/scripts/clauses-test.sh
	@$(STEP) "clauses have their tests" tests/scripts/clauses.sh

check-folders:
	@$(STEP) "folders have their line" tests/scripts/check.sh folders

unit: ## unit tests
	@$(STEP) "unit tests" $(CARGO) test --workspace --lib --bins
	@$(STEP) "documentation tests" env RUSTDOC="$(CURDIR)/tests/scripts/rustdoc.sh" \
		$(CARGO) test --package sentinel --doc

# What computes, on as many processors as there are, and what needs the machine to itself: the measured promises, whose
# tests take it by `alone` in tests/promises. All else mostly waits for servers.
COMPUTING = model sim
MEASURED = kill:: manual_failover:: sharing:: stop::
WAITING = $(filter-out $(COMPUTING) suite promises sources,$(patsubst tests/%/main.rs,%,$(wildcard tests/*/main.rs))) \
	$(patsubst tests/lab/tests/%.rs,%,$(wildcard tests/lab/tests/*.rs))

integration: integration-waiting integration-computing integration-measured ## integration tests, against real servers

integration-waiting:
	@failed=0; \
	$(STEP) "suite" env RUST_TEST_THREADS=6 $(CARGO) test --test suite || failed=1; \
	$(STEP) "promises" env RUST_TEST_THREADS=4 $(CARGO) test --test promises -- $(MEASURED:%=--skip %) || failed=1; \
	$(STEP) "integration tests" $(CARGO) test --no-fail-fast --workspace $(WAITING:%=--test %) || failed=1; \
	exit $$failed

integration-computing:
	@$(STEP) "models and simulations" $(CARGO) test --no-fail-fast $(COMPUTING:%=--test %)

integration-measured:
	@$(STEP) "promises, measured" $(CARGO) test --test promises -- $(MEASURED)

# One that is older and one that is newer than what Debian 12 has.
other-servers: ## the essential tests against redis 6.0 and 8.0, from Debian's archive
	@failed=0; \
	for server in redis-6.0 redis-8.0; do \
		$(STEP) "essential tests ($$server)" tests/scripts/servers.sh short $$server || failed=1; \
	done; \
	exit $$failed

check-servers: lib lab ## suite, promises and C programs against redis 6.0 to 8.0 and valkey 8.0 and 8.1: table (SERVERS=redis-8.0; 60 minutes)
	@tests/scripts/servers.sh all $(SERVERS)

sim: ## the data path over a simulated kernel (SEEDS=2000 FROM=n; SEED=n: one with its story)
	@SEEDS=$${SEEDS:-2000} $(CARGO) test --profile sim --test sim

promises: setup ## the measured promises at length, with their figures (RUNS=20 DOWN_SECONDS=60 READ_SECONDS=40; 20 minutes)
	@RUNS=$${RUNS:-20} DOWN_SECONDS=$${DOWN_SECONDS:-60} FORGET=1 \
		$(CARGO) test --release --test promises -- --nocapture --test-threads=1
	@READ_SECONDS=$${READ_SECONDS:-40} $(CARGO) test --test suite -- stale::no_read --test-threads=1

setup-bench:
	@tests/scripts/setup.sh bench

bench: setup-bench lib lab ## against hiredis: table, benches/throughput.svg (ROUNDS=15 SECONDS_EACH=0.3; 4 minutes)
	@benches/run.sh

bench-failover: lib lab ## failovers under writers, planned, killed and frozen: benches/failover.svg (2 minutes)
	@benches/failover.sh

bench-foresee: lib lab ## what is lost and how long it takes, in RUNS=3 failovers of each kind (5 minutes)
	@benches/foresee.sh

bench-bindings: setup-bench lib lab ## Go against go-redis, Ruby against redis-rb: table (ROUNDS=5 SECONDS_EACH=2; 2 minutes)
	@benches/bindings.sh

bench-socket: setup-bench lib lab ## other clients through a served socket, against straight at the server: table (ROUNDS=15 SECONDS_EACH=0.5; 5 minutes)
	@benches/socket.sh

bench-clients: lib lab prefix ## redis-py, ioredis, redis-rb through sentinel-proxy: speed, and failovers under them (EACH=10; 7 minutes)
	@benches/clients.sh

c-tests: lib lab ## C programs and examples, against the .so and the .a
	@tests/scripts/c-tests.sh

cpp-tests: cpp-headers cpp-programs ## sentinel.hpp: C++ programs and examples, with g++ and clang++, C++17 and C++20

cpp-headers:
	@tests/cpp/run.sh headers

cpp-compile: lib
	@tests/cpp/run.sh compile

cpp-programs: lib lab
	@tests/cpp/run.sh programs

# For the bindings and the guides.
prefix: lib
	@tests/scripts/prefix.sh

go-tests: lib lab prefix ## bindings/go: tests, with the race detector too, and examples
	@tests/scripts/binding-tests.sh go

ruby-tests: lib lab prefix ## bindings/ruby: tests and examples
	@tests/scripts/binding-tests.sh ruby

ruby-sidekiq: lib lab prefix ## Sidekiq through failovers, beside redis-client's own support: table (KILLS=10 PLANNED=10 RUBY_PEERS=-I...)
	@benches/sidekiq.sh

clients-sidekiq: lib lab prefix ## Sidekiq's own tests through sentinel-proxy and by the driver, with failovers under them (SIDEKIQ=FOLDER RUBY_PEERS=-I...; 1 minute)
	@$(STEP) "Sidekiq's own tests" tests/scripts/clients-test.sh sidekiq

clients-hiredis: lib lab prefix ## hiredis' own tests through sentinel-proxy, with failovers under them (HIREDIS=FOLDER; 1 minute)
	@$(STEP) "hiredis' own tests" tests/scripts/clients-test.sh hiredis

clients-redis-rb: lib lab prefix ## redis-rb's own tests through sentinel-proxy and its driver (REDIS_RB=FOLDER RUBY_PEERS=-I...; 3 minutes)
	@$(STEP) "redis-rb's own tests" tests/scripts/clients-test.sh redis-rb

clients-redis-client: lib lab prefix ## redis-client's own tests by its driver (REDIS_CLIENT=FOLDER RUBY_PEERS=-I...; 1 minute)
	@$(STEP) "redis-client's own tests" tests/scripts/clients-test.sh redis-client

docs-tests: lib lab prefix ## the code in docs/, compiled and run
	@tests/scripts/docs-test.sh

check-valgrind: lib lab ## the same C programs under valgrind
	@tests/scripts/c-tests.sh valgrind

check-asan: lab ## Rust tests and C programs under AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer
	@tests/scripts/sanitize.sh address

check-tsan: lab ## unit tests and the C program with threads under ThreadSanitizer
	@tests/scripts/sanitize.sh thread

check-leaks: ## memory, descriptors and threads after many failovers (FAILOVERS=10000)
	@FAILOVERS=$${FAILOVERS:-10000} $(CARGO) test --release --test suite -- --nocapture leaks::

check-forks: lib lab prefix ## children of a process with 24 busy threads, in C and in Ruby (FORKS=2000)
	@FORKS=$${FORKS:-2000} tests/scripts/c-tests.sh forks
	@FORKS=$${FORKS:-2000} tests/scripts/binding-tests.sh ruby forks
	@grep -h lost build/tests/log/shared-forks.c.log build/bindings/ruby-forks.log

check-limits: setup ## how late anything is under the heaviest loads, each figure beside its limit (LINE=text; 5 minutes)
	@$(CARGO) test --release --test limits -- limits --exact --ignored --nocapture

check-tls-storm: setup ## bursts of APPENDs over TLS through failovers, none twice (APPENDS=5000000 FAILOVERS=30; 15 minutes)
	@APPENDS=$${APPENDS:-5000000} FAILOVERS=$${FAILOVERS:-30} \
		$(CARGO) test --release --test suite -- --nocapture tls::storm::

check-deps: ## licences and sources of the libraries (ADVISORIES=1: known vulnerabilities too, from the network)
	@tests/scripts/deps.sh

fuzz: ## every fuzz target in turn (SECONDS=60 each; MINIMIZE=1 makes the corpora anew)
	@SECONDS_EACH="$(or $(SECONDS),60)" tests/scripts/fuzz.sh

soak: setup ## callers on real servers under random faults (MINUTES=20 SEED=n PAUSE_MS=2), drawn in build/soak.svg
	@$(CARGO) test --release --test soak -- soak --exact --ignored --nocapture

crowd: setup ## many clients, one slow Sentinel (PROCESSES=200 GREETING_US=1000 COMMAND_US=0), drawn in build/crowd.svg
	@$(CARGO) test --release --test crowd -- crowd --exact --ignored --nocapture

# Where the loader does not look by itself, the program says where its library is.
PROXY_RPATH = $(if $(filter /lib /usr/lib /usr/lib/%,$(LIBDIR)),,-Wl,-rpath,$(LIBDIR))

# What is written into files, and named to the linker, as it is.
PLACES := PREFIX LIBDIR INCLUDEDIR MANDIR BINDIR SYSCONFDIR UNITDIR SYSUSERSDIR
MARKS := | & ' " ` \ $$
MISPLACED = $(firstword $(foreach place,$(PLACES),$(if $(filter /%,$(firstword $($(place)))),,$(place)) \
	$(if $(strip $(word 2,$($(place)))$(foreach mark,$(MARKS),$(findstring $(mark),$($(place))))),$(place))))

places:
	@$(if $(strip $(MISPLACED)),$(error $(MISPLACED) is "$($(MISPLACED))": it takes an absolute path without spaces, quotes, and any of | & \ $$))

install: places $(SO) $(MAN) ## install under PREFIX (/usr/local), below DESTDIR
	@$(INSTALL) -d "$(DESTDIR)$(INCLUDEDIR)/sentinel/adapters" "$(DESTDIR)$(LIBDIR)/pkgconfig" \
		"$(DESTDIR)$(LIBDIR)/cmake/sentinel" "$(DESTDIR)$(MANDIR)/man3" "$(DESTDIR)$(MANDIR)/man1" \
		"$(DESTDIR)$(BINDIR)" "$(DESTDIR)$(UNITDIR)" "$(DESTDIR)$(SYSUSERSDIR)"
	@$(INSTALL) -m 644 $(HEADER) include/sentinel.hpp "$(DESTDIR)$(INCLUDEDIR)"
	@$(INSTALL) -m 644 $(HPP) "$(DESTDIR)$(INCLUDEDIR)/sentinel"
	@$(INSTALL) -m 644 $(ADAPTERS) "$(DESTDIR)$(INCLUDEDIR)/sentinel/adapters"
	@$(INSTALL) -m 644 build/man/*.3 "$(DESTDIR)$(MANDIR)/man3"
	@$(INSTALL) -m 755 "$(SO)" "$(DESTDIR)$(LIBDIR)/libsentinel.so.$(VERSION)"
	@ln -sf libsentinel.so.$(VERSION) "$(DESTDIR)$(LIBDIR)/libsentinel.so.$(SOVERSION)"
	@ln -sf libsentinel.so.$(SOVERSION) "$(DESTDIR)$(LIBDIR)/libsentinel.so"
	@packaging/archive.sh "$(A)" "$(DESTDIR)$(LIBDIR)/libsentinel.a" || { \
		echo "libsentinel.a is installed as rustc has made it: two of Rust's archives in one program may clash" >&2; \
		$(INSTALL) -m 644 "$(A)" "$(DESTDIR)$(LIBDIR)/libsentinel.a"; }
	@chmod 644 "$(DESTDIR)$(LIBDIR)/libsentinel.a"
	@$(FILL_IN) sentinel.pc.in >"$(DESTDIR)$(LIBDIR)/pkgconfig/sentinel.pc"
	@for file in $(CMAKE_FILES); do \
		$(FILL_IN) "packaging/$$file.in" >"$(DESTDIR)$(LIBDIR)/cmake/sentinel/$$file" || exit 1; \
	done
	@chmod 644 "$(DESTDIR)$(LIBDIR)/pkgconfig/sentinel.pc" \
		$(foreach file,$(CMAKE_FILES),"$(DESTDIR)$(LIBDIR)/cmake/sentinel/$(file)")
	@$(CC) -std=c11 $(or $(CFLAGS),-O2 -g) $(LDFLAGS) -pthread -Iinclude examples-c/proxy.c \
		-o "$(DESTDIR)$(BINDIR)/sentinel-proxy" -L"$(RELEASE)" $(PROXY_RPATH) -lsentinel
	@chmod 755 "$(DESTDIR)$(BINDIR)/sentinel-proxy"
	@$(FILL_IN) packaging/proxy/sentinel-proxy.1 >"$(DESTDIR)$(MANDIR)/man1/sentinel-proxy.1"
	@$(FILL_IN) packaging/proxy/sentinel-proxy.service.in >"$(DESTDIR)$(UNITDIR)/sentinel-proxy.service"
	@$(INSTALL) -m 644 packaging/proxy/sentinel-proxy.sysusers "$(DESTDIR)$(SYSUSERSDIR)/sentinel-proxy.conf"
	@chmod 644 "$(DESTDIR)$(MANDIR)/man1/sentinel-proxy.1" "$(DESTDIR)$(UNITDIR)/sentinel-proxy.service"
	@echo "installed libsentinel $(VERSION) under $(DESTDIR)$(PREFIX)"

uninstall: places $(MAN) ## remove what install put there
	@rm -f "$(DESTDIR)$(INCLUDEDIR)/sentinel.h" "$(DESTDIR)$(LIBDIR)/libsentinel.so.$(VERSION)" \
		"$(DESTDIR)$(LIBDIR)/libsentinel.so.$(SOVERSION)" "$(DESTDIR)$(LIBDIR)/libsentinel.so" \
		"$(DESTDIR)$(LIBDIR)/libsentinel.a" "$(DESTDIR)$(LIBDIR)/pkgconfig/sentinel.pc" \
		"$(DESTDIR)$(INCLUDEDIR)/sentinel.hpp" \
		$(foreach file,$(notdir $(HPP)),"$(DESTDIR)$(INCLUDEDIR)/sentinel/$(file)") \
		$(foreach file,$(notdir $(ADAPTERS)),"$(DESTDIR)$(INCLUDEDIR)/sentinel/adapters/$(file)") \
		$(foreach file,$(CMAKE_FILES),"$(DESTDIR)$(LIBDIR)/cmake/sentinel/$(file)")
	@rm -f "$(DESTDIR)$(BINDIR)/sentinel-proxy" "$(DESTDIR)$(MANDIR)/man1/sentinel-proxy.1" \
		"$(DESTDIR)$(UNITDIR)/sentinel-proxy.service" "$(DESTDIR)$(SYSUSERSDIR)/sentinel-proxy.conf"
	@for page in build/man/*.3; do rm -f "$(DESTDIR)$(MANDIR)/man3/$${page##*/}"; done
	@for folder in "$(INCLUDEDIR)/sentinel/adapters" "$(INCLUDEDIR)/sentinel" "$(LIBDIR)/cmake/sentinel"; do \
		rmdir "$(DESTDIR)$$folder" 2>/dev/null || true; \
	done
	@echo "removed libsentinel $(VERSION) from $(DESTDIR)$(PREFIX)"

$(KIT): Cargo.toml Cargo.lock $(shell find tests/lab -name '*.rs' -o -name Cargo.toml)
	@$(CARGO) build --release --package sentinel-lab --bin lab
	@touch $(KIT)

kit: $(KIT)

install-lab: places $(KIT) ## install libsentinel-lab, the kit for the tests of other programs, and its page, in the same places
	@$(INSTALL) -d "$(DESTDIR)$(BINDIR)" "$(DESTDIR)$(MANDIR)/man1"
	@$(INSTALL) -m 755 "$(KIT)" "$(DESTDIR)$(BINDIR)/libsentinel-lab"
	@$(FILL_IN) "$(KIT_PAGE)" >"$(DESTDIR)$(MANDIR)/man1/libsentinel-lab.1"
	@chmod 644 "$(DESTDIR)$(MANDIR)/man1/libsentinel-lab.1"
	@echo "installed libsentinel-lab $(VERSION) under $(DESTDIR)$(PREFIX)"

uninstall-lab: places ## remove what install-lab put there
	@rm -f "$(DESTDIR)$(BINDIR)/libsentinel-lab" "$(DESTDIR)$(MANDIR)/man1/libsentinel-lab.1"
	@echo "removed libsentinel-lab $(VERSION) from $(DESTDIR)$(PREFIX)"

install-test: lib check-install check-symbols check-archive check-abi check-cmake check-meson check-man check-deb check-targets \
	## install, build against it, run; symbols, ABI, packages

check-install:
	@$(STEP) "install" tests/scripts/install-test.sh files

check-symbols: lib
	@$(STEP) "exported symbols" tests/scripts/install-test.sh symbols

check-archive:
	@$(STEP) "the archive beside others" tests/scripts/install-test.sh archive

check-cmake:
	@$(STEP) "find_package in CMake" tests/scripts/install-test.sh cmake

check-meson:
	@$(STEP) "dependency in Meson" tests/scripts/install-test.sh meson

check-man:
	@$(STEP) "manual pages" tests/scripts/package-test.sh man

check-abi: ## the binary interface against tests/abi/sentinel.abi
	@$(STEP) "binary interface" tests/scripts/abi.sh check

abi-baseline: # after a release, or a change that CONTRIBUTING.md allows
	@tests/scripts/abi.sh baseline

deb: $(SO) $(MAN) $(KIT) ## packages for Debian: libsentinel0, libsentinel-dev, -bin and -lab, in build/deb
	@packaging/deb.sh build/deb

check-deb: lib lab
	@$(STEP) "packages for Debian" tests/scripts/package-test.sh deb

dist: ## for users without Rust: tarballs, gems, a Go module, bill of materials, in build/dist/result (DIST=TARGETS; 8 minutes)
	@packaging/dist.sh build/dist/result $(DIST)

check-recipes: lab ## vcpkg, Conan and Homebrew with what dist made, through a kill -9 of the primary (RECIPE=conan; 1 minute)
	@tests/scripts/recipes.sh $(RECIPE)

check-dist: lab ## what dist made, in empty Debians and beside musl alone (SUITE=trixie; as root; 4 minutes)
	@tests/scripts/dist-test.sh $(SUITE)

check-targets: # other targets than this machine's, as far as their standard library is installed
	@for target in aarch64-unknown-linux-gnu x86_64-unknown-linux-musl aarch64-unknown-linux-musl; do \
		$(STEP) "cargo check ($$target)" tests/scripts/package-test.sh target $$target || exit 1; \
	done

check-musl: lab ## the library for musl: symbols, C programs with musl's loader and its small stacks (3 minutes)
	@tests/scripts/musl.sh

check-arm64: lab ## the library for arm64: C programs and the suite, run by qemu: table (TEST=name; 22 minutes)
	@tests/scripts/arm64.sh $(TEST)

check-distros: ## demonstration, C, Go, Ruby, benchmark and packages in a whole Debian 12 and 13: table (SUITE=trixie; as root; 14 minutes)
	@tests/scripts/distros.sh $(SUITE)

clean: ## remove everything built
	@$(CARGO) clean --quiet
	@rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile
