package client

import (
	"strconv"
	"strings"
)

// place is a parsed cursor, used to tell new messages from old ones. The zero place means none.
type place struct {
	epoch  string
	offset uint64
}

// placeOf parses a cursor. It returns the zero place if the cursor is invalid.
func placeOf(cursor string) place {
	epoch, digits, _ := strings.Cut(cursor, ":")
	offset, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return place{}
	}
	return place{epoch: epoch, offset: offset}
}

// has reports whether a client that has everything up to p has q.
func (p place) has(q place) bool {
	return p.epoch != "" && p.epoch == q.epoch && q.offset <= p.offset
}
