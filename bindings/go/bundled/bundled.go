// Package bundled is nothing but the folder of sentinel.h and of the archives that make dist puts beside this file: what
// go mod vendor takes along are the folders of packages.
package bundled
