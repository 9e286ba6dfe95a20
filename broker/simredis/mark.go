package simredis

import (
	"slices"
	"time"
)

// Mark is a position in a server's list of writes.
type Mark struct{ writes []write }

// write is a write command that a server has executed, successfully or not.
type write struct {
	at      time.Time
	command []string
	whole   int // number of the client's command that it is part of, such as a script
}

// Before returns a mark without the last n commands of clients that wrote something. A script
// counts as one command.
func (m Mark) Before(n int) Mark {
	writes := m.writes
	for ; n > 0 && len(writes) > 0; n-- {
		for last := writes[len(writes)-1].whole; len(writes) > 0 && writes[len(writes)-1].whole == last; {
			writes = writes[:len(writes)-1]
		}
	}
	return Mark{slices.Clip(writes)}
}
