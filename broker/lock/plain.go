//go:build !lockorder

package lock

import "sync"

// Mutex is a sync.Mutex at a place in the Order.
type Mutex[Place any] = sync.Mutex

// RWMutex is a sync.RWMutex at a place in the Order. To hold it for reading counts as
// to hold it.
type RWMutex[Place any] = sync.RWMutex

// Turn is a mutex at a place in the Order, which may be held across round trips.
type Turn[Place any] = turn
