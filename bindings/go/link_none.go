//go:build !cgo

package sentinel

// Without cgo, as for another processor where CC is not set, there is nothing to call: the compiler says this name.
var _ = libsentinel_needs_cgo_set_CGO_ENABLED_to_1_and_CC_to_a_C_compiler
