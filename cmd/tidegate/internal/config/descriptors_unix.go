//go:build unix

package config

import (
	"math"
	"syscall"
)

// Descriptors returns how many file descriptors this process may have. The Go
// runtime has raised the soft limit to the hard one.
func Descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return unknownDescriptors
	}
	return int(min(uint64(limit.Cur), math.MaxInt32))
}
