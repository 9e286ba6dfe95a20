package config

import "math"

// unknownDescriptors stands for a limit that the system does not tell.
const unknownDescriptors = 65536

// Descriptors returns how many file descriptors this process may have. The Go
// runtime has raised the soft limit to the hard one.
func Descriptors() int {
	limit, err := descriptorLimit()
	if err != nil {
		return unknownDescriptors
	}
	return int(min(limit, math.MaxInt32))
}

// Reserve returns how many of this process's file descriptors are kept from clients,
// for Redis, the internal listener and files.
func Reserve() int { return reserveOf(Descriptors()) }

func reserveOf(descriptors int) int { return min(max(descriptors/8, 32), mostReserve) }

const mostReserve = 1024
