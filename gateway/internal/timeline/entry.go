package timeline

import (
	"time"

	"tidegate/broker"
)

// Entry is a message on its way to a channel's audience, with the frames it has been
// encoded into so far. Its methods must not be called concurrently.
type Entry struct {
	Message  broker.Message
	Received time.Time // when the broker delivered the message; zero if its delivery is not measured

	first encoded // most entries need only this one
	more  []encoded
	pairs []pair
	kept  int   // bytes of these
	until int64 // when the tail drops the entry, in Unix nanoseconds
}

// encoded is a frame. For a difference, it identifies the previous message by its position, not by
// a pointer, which would keep a chain of entries alive.
type encoded struct {
	by     any             // the Encoder or DeltaEncoder; nil if there is no frame
	before broker.Position // zero for the frame of the whole message
	frame  []byte
}

// find returns the frame that by has made.
func (e *Entry) find(by any, before broker.Position) (frame []byte, found bool) {
	if e.first.by == by && e.first.before == before {
		return e.first.frame, true
	}
	for i := range e.more {
		if f := &e.more[i]; f.by == by && f.before == before {
			return f.frame, true
		}
	}
	return nil, false
}

// keep keeps a frame, unless there is no room for it.
func (e *Entry) keep(f encoded) {
	switch {
	case !e.hold(len(f.frame)):
	case e.first.by == nil:
		e.first = f
	default:
		e.more = append(e.more, f)
	}
}

// hold counts n more bytes that the entry keeps besides its message, and reports whether there
// was room for them.
func (e *Entry) hold(n int) bool {
	n += e.kept + keptOverhead
	if n > e.room() {
		return false
	}
	e.kept = n
	return true
}

// room returns how many bytes the entry may keep besides its message: enough for a frame in Base64.
func (e *Entry) room() int { return e.Message.Size()*4/3 + messageOverhead - entryBytes }

// Encoder encodes messages for one protocol or dialect. Two Encoders that compare equal
// (==) must produce the same frames.
type Encoder interface {
	// EncodeMessage returns the frame of a message, or nil if the message is not to be sent.
	EncodeMessage(*broker.Message) ([]byte, error)
}

// Frame returns the frame that by makes of the message. Each Encoder runs once, and later calls
// return the same frame, unless there is no room to keep it.
func (e *Entry) Frame(by Encoder) ([]byte, error) {
	if frame, found := e.find(by, broker.Position{}); found {
		return frame, nil
	}
	frame, err := by.EncodeMessage(&e.Message)
	if err == nil {
		e.keep(encoded{by: by, frame: frame})
	}
	return frame, err
}

// DeltaEncoder encodes a message as its difference from an earlier one.
type DeltaEncoder interface {
	// EncodeDelta returns the frame of m for a client that has before. All encoders of m
	// share the work stored in d; d is nil if no other encoder will ask for it.
	EncodeDelta(m, before *broker.Message, d *Differences) ([]byte, error)
}

// Delta returns the frame that by makes of the message for a client that has before. It
// encodes once and reuses the frame, provided that before has a position and there is room.
func (e *Entry) Delta(before *broker.Message, by DeltaEncoder) ([]byte, error) {
	at := before.Position
	if frame, found := e.find(by, at); found && !at.IsZero() {
		return frame, nil
	}
	frame, err := by.EncodeDelta(&e.Message, before, e.differences(before))
	if err == nil && !at.IsZero() {
		e.keep(encoded{by, at, frame})
	}
	return frame, err
}

// pair holds the differences between an entry's message and an earlier one.
type pair struct {
	before      broker.Position
	differences *Differences
}

func (e *Entry) differences(before *broker.Message) *Differences {
	if before.Position.IsZero() {
		return nil
	}
	for _, p := range e.pairs {
		if p.before == before.Position {
			return p.differences
		}
	}
	d := &Differences{of: e}
	if e.hold(0) {
		e.pairs = append(e.pairs, pair{before.Position, d})
	}
	return d
}

// Differences caches the differences between two messages, one for each form that encoders
// use. Its methods must not be called concurrently.
type Differences struct {
	of    *Entry // has the room for them; nil: no limit
	known []difference
}

type difference struct {
	form uint8
	text []byte
}

// In returns the differences in the given form. It calls work only the first time; on a nil
// receiver, or if there is no room to keep them, every time.
func (d *Differences) In(form uint8, work func() []byte) []byte {
	if d == nil {
		return work()
	}
	for _, known := range d.known {
		if known.form == form {
			return known.text
		}
	}
	text := work()
	if d.of == nil || d.of.hold(len(text)) {
		d.known = append(d.known, difference{form, text})
	}
	return text
}

// weight estimates the most memory that a buffered entry takes, in bytes.
func (e *Entry) weight() int { return entryBytes + e.Message.Size() + e.room() }

const (
	messageOverhead = 1 << 10
	entryBytes      = 512 // without what it refers to
	keptOverhead    = 32  // of each frame and difference
)

func (e *Entry) offset() uint64 { return e.Message.Position.Offset }
