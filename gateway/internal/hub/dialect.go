package hub

import (
	"tidegate/broker"
	"tidegate/gateway/internal/timeline"
)

// Dialect is an Encoder, and how it tells messages: a channel's audience is grouped by it.
type Dialect struct {
	Encoder

	// Of subscriptions with deltas the messages are told by others than the plain one.
	manner    manner
	full      *Dialect // tells what comes first
	differing *Dialect // tells what comes next
}

// manner is how a dialect tells messages.
type manner uint8

const (
	plain     manner = iota // as they are
	full                    // as a delta that says all
	differing               // as a delta that says what differs
)

// NewDialect returns the plain dialect of an Encoder, which has one alone.
func NewDialect(e Encoder) *Dialect {
	d := &Dialect{Encoder: e}
	first, next := *d, *d
	first.manner, next.manner = full, differing
	for _, made := range []*Dialect{d, &first, &next} {
		made.full, made.differing = &first, &next
	}
	return d
}

// Deltas returns the dialect of subscriptions with deltas.
func (d *Dialect) Deltas() *Dialect { return d.full }

// EncodeMessage returns the frame of a message.
func (d *Dialect) EncodeMessage(m *broker.Message) ([]byte, error) {
	if d.manner != plain {
		return d.EncodeDelta(m, nil, nil)
	}
	return d.Encoder.EncodeMessage(m)
}

// resumed returns the dialect of a subscription's messages while it resumes: it knows of
// each what the client was told before.
func (d *Dialect) resumed() *Dialect {
	if d.manner == plain {
		return d
	}
	return d.differing
}

// frameOf returns an entry's frame for who was told a message before; nil: none, or it is
// not known.
func (d *Dialect) frameOf(e *timeline.Entry, before *broker.Message) ([]byte, error) {
	switch {
	case d.manner == plain:
		return e.Frame(d)
	case d.manner == full, before == nil:
		return e.Frame(d.full)
	}
	return e.Delta(before, d)
}
