package config

import "math"

// unknownDescriptors is assumed if the system does not tell the limit.
const unknownDescriptors = 65536

// Descriptors returns the number of file descriptors that this process may open. The Go
// runtime has raised the soft limit to the hard limit.
func Descriptors() int {
	limit, err := descriptorLimit()
	if err != nil {
		return unknownDescriptors
	}
	return int(min(limit, math.MaxInt32))
}

// Reserve returns how many of the file descriptors are reserved for Redis, the internal
// listener and files.
func Reserve() int { return reserveOf(Descriptors()) }

func reserveOf(descriptors int) int { return min(max(descriptors/8, 32), mostReserve) }

const mostReserve = 1024
