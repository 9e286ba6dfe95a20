package simredis

import (
	"slices"
	"time"
)

// Mark is a moment in what a server was told.
type Mark struct{ writes []write }

// write is a command that has changed something, or was to.
type write struct {
	at      time.Time
	command []string
	whole   int // number of the command of a client that it is a part of
}

// Before returns a mark at which the last n commands of clients that wrote something
// have not been. A script is one command.
func (m Mark) Before(n int) Mark {
	writes := m.writes
	for ; n > 0 && len(writes) > 0; n-- {
		for last := writes[len(writes)-1].whole; len(writes) > 0 && writes[len(writes)-1].whole == last; {
			writes = writes[:len(writes)-1]
		}
	}
	return Mark{slices.Clip(writes)}
}
