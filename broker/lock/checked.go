//go:build lockorder

package lock

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// Mutex is a sync.Mutex with a place in the Order.
type Mutex[Place any] struct{ mu sync.Mutex }

func (m *Mutex[Place]) Lock() {
	take[Place]()
	m.mu.Lock()
}

func (m *Mutex[Place]) Unlock() {
	m.mu.Unlock()
	release[Place]()
}

// Turn is a mutex with a place in the Order. It may be held during round trips.
type Turn[Place any] struct{ mu turn }

func (t *Turn[Place]) Lock() {
	take[Place]()
	t.mu.Lock()
}

func (t *Turn[Place]) Unlock() {
	t.mu.Unlock()
	release[Place]()
}

// RWMutex is a sync.RWMutex with a place in the Order. A read lock counts like a write
// lock.
type RWMutex[Place any] struct{ mu sync.RWMutex }

func (m *RWMutex[Place]) Lock() {
	take[Place]()
	m.mu.Lock()
}

func (m *RWMutex[Place]) Unlock() {
	m.mu.Unlock()
	release[Place]()
}

func (m *RWMutex[Place]) RLock() {
	take[Place]()
	m.mu.RLock()
}

func (m *RWMutex[Place]) RUnlock() {
	m.mu.RUnlock()
	release[Place]()
}

var (
	mu    sync.Mutex
	held  = make(map[uintptr]*[]holding) // by goroutine; guarded by mu
	ranks = func() map[any]int {
		ranks := make(map[any]int)
		for i, place := range Order() {
			ranks[place] = i
		}
		return ranks
	}()
)

// holding is a place whose lock a goroutine holds or is about to take.
type holding struct {
	place any
	stack [12]uintptr // of the call of Lock
}

// goroutine returns the address of the calling goroutine's g, which identifies it while it
// runs.
func goroutine() uintptr

// wrong is called when a lock is taken out of order. Tests replace it.
var wrong = func(what string) {
	fmt.Fprintln(os.Stderr, what)
	os.Exit(2)
}

// take records that the goroutine is about to take the lock of a place.
func take[Place any]() {
	var place Place
	next := holding{place: place}
	runtime.Callers(3, next.stack[:])
	mu.Lock()
	defer mu.Unlock()
	holds := held[goroutine()]
	if holds == nil {
		holds = new([]holding)
		held[goroutine()] = holds
	}
	for i := range *holds {
		if h := &(*holds)[i]; !h.allows(next.place) {
			wrong(fmt.Sprintf("%T is taken by a goroutine that holds %T: see lock.Order\n\n%[2]T was taken at\n\n%s\n%[1]T is taken at\n\n%s",
				next.place, h.place, h.where(), debug.Stack()))
		}
	}
	*holds = append(*holds, next)
}

// allows reports whether a goroutine that holds h may take the lock of next.
func (h *holding) allows(next any) bool {
	return ranks[next] > ranks[h.place] || next == h.place && next == any(Joining{})
}

func (h *holding) where() string {
	var text strings.Builder
	frames := runtime.CallersFrames(h.stack[:])
	for more := true; more; {
		var f runtime.Frame
		if f, more = frames.Next(); f.PC != 0 {
			fmt.Fprintf(&text, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		}
	}
	return text.String()
}

// release records that the goroutine no longer holds the lock of a place.
func release[Place any]() {
	var place any = *new(Place)
	mu.Lock()
	defer mu.Unlock()
	holds := held[goroutine()]
	for i := len(*holds) - 1; i >= 0; i-- {
		if (*holds)[i].place == place {
			*holds = slices.Delete(*holds, i, i+1)
			return
		}
	}
}
