package gateway

import (
	"tidegate/broker"
	"tidegate/broker/lock"
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
}

type counterAdd interface{ Add(float64) }

// EncodeMessage returns the frame of a message.
func (d *dialect) EncodeMessage(m *broker.Message) ([]byte, error) {
	frame, err := d.encode(Message{m})
	return frame.Data, err
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
