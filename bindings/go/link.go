//go:build !sentinel_bundled

package sentinel

// The library of this machine, as pkg-config knows it.

// #cgo pkg-config: sentinel
import "C"
