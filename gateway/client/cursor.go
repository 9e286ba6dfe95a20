package client

import (
	"strconv"
	"strings"
)

// place is a cursor taken apart, to tell what is new from what came already.
// The zero place is none.
type place struct {
	epoch  string
	offset uint64
}

// placeOf returns no place for a cursor that it cannot read.
func placeOf(cursor string) place {
	epoch, digits, _ := strings.Cut(cursor, ":")
	offset, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return place{}
	}
	return place{epoch: epoch, offset: offset}
}

func (p place) cursor() string {
	if p.epoch == "" {
		return ""
	}
	return p.epoch + ":" + strconv.FormatUint(p.offset, 10)
}

// has reports whether all up to p includes what lies at q.
func (p place) has(q place) bool {
	return p.epoch != "" && p.epoch == q.epoch && q.offset <= p.offset
}
