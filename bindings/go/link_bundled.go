//go:build sentinel_bundled

package sentinel

// The library that this module brings along (make dist): linked into the program, which needs none at run time. With the
// tag musl too that for musl.

// #cgo CFLAGS: -I${SRCDIR}/bundled
// #cgo linux,amd64,!musl LDFLAGS: ${SRCDIR}/bundled/libsentinel-x86_64-linux-gnu.a
// #cgo linux,arm64,!musl LDFLAGS: ${SRCDIR}/bundled/libsentinel-aarch64-linux-gnu.a
// #cgo linux,amd64,musl LDFLAGS: ${SRCDIR}/bundled/libsentinel-x86_64-linux-musl.a
// #cgo linux,arm64,musl LDFLAGS: ${SRCDIR}/bundled/libsentinel-aarch64-linux-musl.a
// #cgo LDFLAGS: -lpthread -lm -ldl
import "C"

import _ "libsentinel/sentinel/bundled" // so that it is vendored
