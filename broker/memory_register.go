package broker

import (
	"context"
	"maps"
	"slices"
	"time"

	"tidegate/broker/lock"
)

// memoryRegister implements Register within one process.
type memoryRegister struct {
	mu      lock.Mutex[lock.Register]
	entries map[string]Entry
	version uint64
}

// Entries implements Register.
func (r *memoryRegister) Entries(_ context.Context, unless uint64) ([]Entry, uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.version == unless {
		return nil, r.version, nil
	}
	r.prune(time.Now())
	return slices.Collect(maps.Values(r.entries)), r.version, nil
}

// Enter implements Register.
func (r *memoryRegister) Enter(_ context.Context, name string, value []byte, lasts time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.prune(now)
	if _, known := r.entries[name]; !known && len(r.entries) >= RegisterRoom {
		return ErrRegisterFull
	}
	if r.entries == nil {
		r.entries = make(map[string]Entry)
	}
	r.entries[name] = Entry{Name: name, Value: value, Expires: now.Add(lasts)}
	r.version++
	return nil
}

// Strike implements Register.
func (r *memoryRegister) Strike(_ context.Context, name string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prune(time.Now())
	if _, known := r.entries[name]; !known {
		return false, nil
	}
	delete(r.entries, name)
	r.version++
	return true, nil
}

// prune removes expired entries. The caller must hold mu.
func (r *memoryRegister) prune(now time.Time) {
	maps.DeleteFunc(r.entries, func(_ string, entry Entry) bool { return !now.Before(entry.Expires) })
}
