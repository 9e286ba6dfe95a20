package broker

import (
	"context"
	"errors"
	"time"
)

// Register is a small table that all nodes share and that outlives each of them:
// entries by name, each until it expires. All methods may be called concurrently.
// Each fails with ErrUnavailable when the broker does not answer in time.
type Register interface {
	// Entries returns the entries that have not expired, in no order, and the
	// register's version. If it is at the given version it returns no entries.
	Entries(ctx context.Context, unless uint64) (entries []Entry, version uint64, err error)

	// Enter adds an entry, or replaces the one of its name, for a time from now
	// on. It fails with ErrRegisterFull if there are too many.
	Enter(ctx context.Context, name string, value []byte, lasts time.Duration) error

	// Strike removes an entry, and reports whether there was one.
	Strike(ctx context.Context, name string) (existed bool, err error)
}

// Entry is one of a Register.
type Entry struct {
	Name    string // without spaces
	Value   []byte
	Expires time.Time
}

// ErrRegisterFull says that a Register has as many entries as it takes.
var ErrRegisterFull = errors.New("the register is full")

// RegisterRoom is how many entries a Register takes.
const RegisterRoom = 10_000
