//go:build sentinel_bundled

package sentinel

// The library that this module brings along (make dist): linked into the program, which needs none at run time. With the
// tag musl too that for musl.

// #cgo CFLAGS: -I${SRCDIR}/bundled/include
// #cgo linux,amd64,!musl LDFLAGS: ${SRCDIR}/bundled/x86_64-linux-gnu/libsentinel.a
// #cgo linux,arm64,!musl LDFLAGS: ${SRCDIR}/bundled/aarch64-linux-gnu/libsentinel.a
// #cgo linux,amd64,musl LDFLAGS: ${SRCDIR}/bundled/x86_64-linux-musl/libsentinel.a
// #cgo linux,arm64,musl LDFLAGS: ${SRCDIR}/bundled/aarch64-linux-musl/libsentinel.a
// #cgo LDFLAGS: -lpthread -lm -ldl
import "C"
