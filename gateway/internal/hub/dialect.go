package hub

import (
	"tidegate/broker"
	"tidegate/gateway/internal/timeline"
)

// Dialect is an Encoder together with the manner of encoding messages. A channel groups its
// audience by Dialect.
type Dialect struct {
	Encoder

	// Subscriptions with deltas use these two instead of the plain Dialect.
	manner    manner
	full      *Dialect // for the first message
	differing *Dialect // for the messages after it
}

// manner says how a Dialect encodes messages.
type manner uint8

const (
	plain     manner = iota // unchanged
	full                    // as a delta that contains the whole message
	differing               // as a delta that contains the difference
)

// NewDialect returns the plain Dialect of an Encoder. Call it once for each Encoder.
func NewDialect(e Encoder) *Dialect {
	d := &Dialect{Encoder: e}
	first, next := *d, *d
	first.manner, next.manner = full, differing
	for _, made := range []*Dialect{d, &first, &next} {
		made.full, made.differing = &first, &next
	}
	return d
}

// Deltas returns the Dialect for subscriptions with deltas.
func (d *Dialect) Deltas() *Dialect { return d.full }

// Encode implements timeline.Encoder.
func (d *Dialect) Encode(m, before *broker.Message) ([]byte, error) {
	if d.manner == plain {
		return d.EncodeMessage(m)
	}
	return d.EncodeDelta(m, before)
}

// resumed returns the Dialect for a subscription's messages while it resumes. Then the hub
// knows the previous message of this client, so that it can send differences.
func (d *Dialect) resumed() *Dialect {
	if d.manner == plain {
		return d
	}
	return d.differing
}

// frameOf returns the entry's frame for a client whose last message was before; nil means
// that there is none or that it is not known.
func (d *Dialect) frameOf(e *timeline.Entry, before *broker.Message) ([]byte, error) {
	switch {
	case d.manner == plain:
		return e.Frame(d, nil)
	case d.manner == full, before == nil:
		return e.Frame(d.full, nil)
	}
	return e.Frame(d, before)
}
