package broker

import (
	"strconv"
	"strings"
)

// A channel that nobody has published on has a position, too, so that a cursor taken before
// its first message is valid later. It is offset 0 of an epoch that is computed, not
// stored:
//
//	0 STAMP ERA
//	0      no other epoch begins with it
//	STAMP  when the broker was asked, in a unit of its own (Redis: hours), 5 digits in base 36
//	ERA    the era, a time in which the broker has lost nothing
//
// This is an unborn position. The first message begins an ordinary epoch, whose former
// position is the unborn position of that time. So a position with an offset belongs to an
// epoch that is used only once, whatever is lost; only unborn positions of different times
// can mean the same. They do within one era and less than unbornStamps apart: a broker
// remembers a quiet channel for that long, so a channel that had messages in between cannot
// look like one that never had any. Beyond that, a client is told that it may have missed
// messages.
const (
	unbornMark   = "0"
	unbornDigits = 5
	unbornStamps = 24
)

// unborn returns the unborn position for an era and a stamp.
func unborn(era string, stamp int64) Position {
	digits := strconv.FormatInt(stamp, 36)
	return Position{Epoch: unbornMark + strings.Repeat("0", unbornDigits-len(digits)) + digits + era}
}

// Unborn reports whether p is the position of a channel before its first message.
func (p Position) Unborn() bool {
	_, _, ok := p.cutUnborn()
	return ok
}

// Agrees reports whether p and q are both positions of a channel before its first message,
// and no message can have come and been forgotten between them. A cursor that agrees with
// the position of a channel, or with the former one, has therefore lost nothing.
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
