package gateway

import (
	"tidegate/broker"
	"tidegate/broker/lock"
	"tidegate/gateway/internal/timeline"
	"tidegate/gateway/internal/wall"
	"tidegate/metrics"
)

// dialects are the protocols in use, each resolved once.
type dialects struct {
	mu lock.Mutex[lock.Dialects]
	by map[Protocol]*dialect
}

func (d *dialects) of(p Protocol, w *wall.Wall, m *metrics.Metrics) *dialect {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.by[p]; known != nil {
		return known
	}
	made := &dialect{protocol: p, wall: w, delivered: m.Messages.Delivered(p.Name())}
	if heartbeat, err := made.encode(Heartbeat{}); err == nil {
		made.heartbeat = heartbeat.Data
	}
	made.addDeltas()
	if d.by == nil {
		d.by = make(map[Protocol]*dialect)
	}
	d.by[p] = made
	return made
}

// dialect is a protocol in use, and what is resolved once for it.
type dialect struct {
	protocol  Protocol
	wall      *wall.Wall
	delivered counterAdd
	heartbeat []byte // the frame of a Heartbeat; nil: there is none

	// Of subscriptions with deltas the messages are told by others than the session's.
	manner    manner
	full      *dialect // tells what comes first
	differing *dialect // tells what comes next
}

// manner is how a dialect tells messages.
type manner uint8

const (
	plain     manner = iota // as Message
	full                    // as Delta that says all
	differing               // as Delta that says what differs
)

// addDeltas makes the dialects of subscriptions with deltas.
func (d *dialect) addDeltas() {
	first, next := *d, *d
	first.manner, next.manner = full, differing
	for _, made := range []*dialect{d, &first, &next} {
		made.full, made.differing = &first, &next
	}
}

type counterAdd interface{ Add(float64) }

// EncodeMessage returns the frame of a message.
func (d *dialect) EncodeMessage(m *broker.Message) ([]byte, error) {
	if d.manner != plain {
		return d.EncodeDelta(m, nil)
	}
	frame, err := d.encode(Message{m})
	return frame.Data, err
}

// EncodeDelta returns the frame of a message for who was told another one before.
func (d *dialect) EncodeDelta(m, before *broker.Message) ([]byte, error) {
	frame, err := d.encode(Delta{m, before})
	return frame.Data, err
}

// resumed returns the dialect of a subscription's messages while it resumes: it knows of
// each what the client was told before.
func (d *dialect) resumed() *dialect {
	if d.manner == plain {
		return d
	}
	return d.differing
}

// frameOf returns an entry's frame for who was told a message before; nil: none, or it is
// not known.
func (d *dialect) frameOf(e *timeline.Entry, before *broker.Message) ([]byte, error) {
	switch {
	case d.manner == plain:
		return e.Frame(d)
	case d.manner == full, before == nil:
		return e.Frame(d.full)
	}
	return e.Delta(before, d)
}

// encode is Protocol.Encode, where a panic is an error like any other: Failed.
func (d *dialect) encode(event Event) (frame Frame, err error) {
	defer d.wall.Catch("encode an event", func() { err = Failed })
	return d.protocol.Encode(event)
}

// farewell returns a reason as the protocol tells it.
func (d *dialect) farewell(r Reason) Reason {
	d.wall.Do("say farewell", func() {
		code, text := d.protocol.Farewell(r)
		r = r.With(text)
		r.Code = code
	})
	return r
}
