package broker

import (
	"strconv"
	"strings"
)

// A channel that nobody has published on has a position all the same, so that a
// cursor taken before its first message is good later: offset 0 of an epoch that
// is derived, not stored.
//
//	0 STAMP ERA
//	0      no other epoch begins with it
//	STAMP  when the broker was asked, in a unit of its own (Redis: hours), 5 digits in base 36
//	ERA    the time in which the broker has forgotten nothing
//
// The first message begins an epoch of its own, whose former position is the
// position of nothing by then. Positions with an offset are therefore of an epoch that
// is used once, whatever is lost; only nothing is the same thing twice. It is so for
// less than unbornStamps, in one era: so long a broker remembers a channel that has
// fallen quiet, and so a channel that had messages in the meantime does not look like
// one that never had any. Beyond that, a client is told that it may have missed
// something.
const (
	unbornMark   = "0"
	unbornDigits = 5
	unbornStamps = 24
)

// unborn returns the position of nothing.
func unborn(era string, stamp int64) Position {
	digits := strconv.FormatInt(stamp, 36)
	return Position{Epoch: unbornMark + strings.Repeat("0", unbornDigits-len(digits)) + digits + era}
}

// Unborn reports whether p is the position of a channel before its first message.
func (p Position) Unborn() bool {
	_, _, ok := p.cutUnborn()
	return ok
}

// Agrees reports whether both are positions of a channel before its first message, and
// nothing can have come and been forgotten between them. So does a cursor that agrees
// with a channel's position, or with the former one, lose nothing.
func (p Position) Agrees(q Position) bool {
	era, stamp, ok := p.cutUnborn()
	other, later, both := q.cutUnborn()
	return ok && both && era == other && max(stamp-later, later-stamp) < unbornStamps
}

func (p Position) cutUnborn() (era string, stamp int64, ok bool) {
	rest, ok := strings.CutPrefix(p.Epoch, unbornMark)
	if !ok || p.Offset != 0 || len(rest) <= unbornDigits {
		return "", 0, false
	}
	stamp, err := strconv.ParseInt(rest[:unbornDigits], 36, 64)
	return rest[unbornDigits:], stamp, err == nil
}
