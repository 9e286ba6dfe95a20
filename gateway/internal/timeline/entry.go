package timeline

import (
	"time"

	"tidegate/broker"
)

// Entry is a message on its way to a channel's audience, and the frames that it has
// been encoded to.
type Entry struct {
	Message  broker.Message
	Received time.Time // when, of a message whose delivery is measured; else zero

	first  encoded // what most entries have
	more   []encoded
	deltas []encodedDelta
	pairs  []pair
	until  int64 // for how long a tail keeps it, in Unix nanoseconds
}

type encoded struct {
	by    Encoder
	frame []byte
}

// encodedDelta names the message before by its position, so that it keeps no chain of
// entries alive.
type encodedDelta struct {
	by     DeltaEncoder
	before broker.Position
	frame  []byte
}

// Encoder says messages in one way. Two that are equal (==) say the same.
type Encoder interface {
	// EncodeMessage returns the frame of a message; nil: it does not say it.
	EncodeMessage(*broker.Message) ([]byte, error)
}

// Frame returns the message as by says it, encoded once for all who ask.
func (e *Entry) Frame(by Encoder) ([]byte, error) {
	if e.first.by == by {
		return e.first.frame, nil
	}
	for i := range e.more {
		if e.more[i].by == by {
			return e.more[i].frame, nil
		}
	}
	frame, err := by.EncodeMessage(&e.Message)
	if err != nil {
		return nil, err
	}
	if e.first.by == nil {
		e.first = encoded{by, frame}
	} else {
		e.more = append(e.more, encoded{by, frame})
	}
	return frame, nil
}

// DeltaEncoder says what differs between messages, in one way.
type DeltaEncoder interface {
	// EncodeDelta returns the frame of a message for who has the one before. What differs
	// the encoders of both share; nil: nobody else asks.
	EncodeDelta(m, before *broker.Message, d *Differences) ([]byte, error)
}

// Delta returns the message as by says it to who has the one before: encoded once for all
// who ask, if that has a position.
func (e *Entry) Delta(before *broker.Message, by DeltaEncoder) ([]byte, error) {
	for i := range e.deltas {
		if d := &e.deltas[i]; d.by == by && d.before == before.Position {
			return d.frame, nil
		}
	}
	frame, err := by.EncodeDelta(&e.Message, before, e.differences(before))
	if err == nil && !before.Position.IsZero() {
		e.deltas = append(e.deltas, encodedDelta{by, before.Position, frame})
	}
	return frame, err
}

// pair is an entry's message and one before it.
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
	d := new(Differences)
	e.pairs = append(e.pairs, pair{before.Position, d})
	return d
}

// Differences are what differs between two messages, in each of the forms in which
// encoders have them. Calls must not overlap.
type Differences struct{ known []difference }

type difference struct {
	form uint8
	text []byte
}

// In returns what differs in a form, worked out once for all who ask.
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
	d.known = append(d.known, difference{form, text})
	return text
}

// weight is about how many bytes a kept message takes: itself, and the frame that
// one protocol makes of it.
func (e *Entry) weight() int { return 2*len(e.Message.Payload) + 512 }

func (e *Entry) offset() uint64 { return e.Message.Position.Offset }
