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

// Mutex is a sync.Mutex at a place in the Order.
type Mutex[Place any] struct{ mu sync.Mutex }

func (m *Mutex[Place]) Lock() {
	take[Place]()
	m.mu.Lock()
}

func (m *Mutex[Place]) Unlock() {
	m.mu.Unlock()
	release[Place]()
}

// Turn is a mutex at a place in the Order, which may be held across round trips.
type Turn[Place any] struct{ mu turn }

func (t *Turn[Place]) Lock() {
	take[Place]()
	t.mu.Lock()
}

func (t *Turn[Place]) Unlock() {
	t.mu.Unlock()
	release[Place]()
}

// RWMutex is a sync.RWMutex at a place in the Order. To hold it for reading counts as
// to hold it.
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

// holding is a place that a goroutine holds, or is about to.
type holding struct {
	place any
	stack [12]uintptr // of who took it
}

// goroutine returns what the calling goroutine is known by while it runs: its g.
func goroutine() uintptr

// wrong is told of a place that is taken out of order.
var wrong = func(what string) {
	fmt.Fprintln(os.Stderr, what)
	os.Exit(2)
}

// take notes that the goroutine is about to hold a place.
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

// allows reports whether who holds h may take another place.
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

// release notes that the goroutine holds a place no more.
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
