package broker

import (
	"context"
	"errors"
	"time"
)

// Register is a small table of named entries that all nodes share and that outlives each of
// them. Each entry has an expiry time. All methods are safe for concurrent use and fail
// with ErrUnavailable if the broker does not answer in time.
type Register interface {
	// Entries returns the entries that have not expired, in no order, and the version of
	// the register. If that equals unless, it returns no entries.
	Entries(ctx context.Context, unless uint64) (entries []Entry, version uint64, err error)

	// Enter adds or replaces the entry with the given name. The entry expires after lasts.
	// Enter fails with ErrRegisterFull if there are too many entries.
	Enter(ctx context.Context, name string, value []byte, lasts time.Duration) error

	// Strike removes an entry and reports whether it existed.
	Strike(ctx context.Context, name string) (existed bool, err error)
}

// Entry is one entry of a Register.
type Entry struct {
	Name    string // must not contain spaces
	Value   []byte
	Expires time.Time
}

// ErrRegisterFull says that a Register has RegisterRoom entries and takes no more.
var ErrRegisterFull = errors.New("the register is full")

// RegisterRoom is the most entries that a Register holds.
const RegisterRoom = 10_000
