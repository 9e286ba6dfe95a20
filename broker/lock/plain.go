//go:build !lockorder

package lock

import "sync"

// Mutex is a sync.Mutex with a place in the Order.
type Mutex[Place any] = sync.Mutex

// RWMutex is a sync.RWMutex with a place in the Order. A read lock counts like a write
// lock.
type RWMutex[Place any] = sync.RWMutex

// Turn is a mutex with a place in the Order. It may be held during round trips.
type Turn[Place any] = turn
