package gateway

import (
	"tidegate/broker"
	"tidegate/broker/lock"
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/wall"
	"tidegate/metrics"
)

// dialects caches one dialect for each protocol in use.
type dialects struct {
	writing writing // immutable

	mu lock.Mutex[lock.Dialects]
	by map[Protocol]*dialect
}

func (d *dialects) of(p Protocol) *dialect {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.by[p]; known != nil {
		return known
	}
	made := &dialect{writing: &d.writing, protocol: p, delivered: d.writing.metrics.Messages.Delivered(p.Name())}
	if heartbeat, err := made.encode(Heartbeat{}); err == nil {
		made.heartbeat = heartbeat.Data
	}
	made.ofChannels = hub.NewDialect(made)
	if d.by == nil {
		d.by = make(map[Protocol]*dialect)
	}
	d.by[p] = made
	return made
}

// writing is what all writers of a node share. It is immutable.
type writing struct {
	line    *outbox.Line // the outboxes to be written
	boxes   *outbox.Pool
	wall    *wall.Wall
	metrics *metrics.Metrics
}

// dialect is a protocol in use, with values computed once for it.
type dialect struct {
	*writing
	protocol   Protocol
	delivered  counterAdd
	heartbeat  []byte       // the frame of a Heartbeat; nil: the protocol has none
	ofChannels *hub.Dialect // the dialect as channels use it
}

type counterAdd interface{ Add(float64) }

var _ hub.Encoder = (*dialect)(nil)

// EncodeMessage returns the frame of a message.
func (d *dialect) EncodeMessage(m *broker.Message) ([]byte, error) {
	frame, err := d.encode(Message{m})
	return frame.Data, err
}

// EncodeDelta returns the frame of a message for clients that have the previous one.
func (d *dialect) EncodeDelta(m, before *broker.Message) ([]byte, error) {
	frame, err := d.encode(Delta{m, before})
	return frame.Data, err
}

// EncodeNews returns the frame of any other news of a channel.
func (d *dialect) EncodeNews(n *hub.News) (hub.Frame, error) {
	frame, err := d.encode(eventOfNews(n))
	return hub.Frame{Data: frame.Data, Others: frame.Others, Last: frame.Last}, err
}

func eventOfNews(n *hub.News) Event {
	switch n.Kind {
	case hub.Joined:
		return Join{n.Channel, n.Who.User, n.Who.Session, n.Who.Info, n.Who.Elsewhere}
	case hub.Left:
		return Leave{n.Channel, n.Who.User, n.Who.Session, n.Who.Info, n.Who.Elsewhere}
	case hub.ManyChanged:
		return PresenceChanged{n.Channel}
	case hub.Counted:
		return Counted{n.Channel, n.Sessions}
	case hub.NothingRecent:
		return NothingRecent{n.Channel}
	}
	return Gap{n.Channel}
}

// membersOf converts a list of members; it returns nil for an empty one.
func membersOf(list []attendance.Who) (members []Member) {
	for _, who := range list {
		members = append(members, Member{User: who.User, Session: who.Session, Info: who.Info, Elsewhere: who.Elsewhere})
	}
	return members
}

// encode is Protocol.Encode, except that a panic becomes the error Failed.
func (d *dialect) encode(event Event) (frame Frame, err error) {
	defer d.wall.Catch("encode an event", func() { err = Failed })
	return d.protocol.Encode(event)
}

// farewell returns r with the code and text of the protocol's Farewell.
func (d *dialect) farewell(r Reason) Reason {
	d.wall.Do("say farewell", func() {
		code, text := d.protocol.Farewell(r)
		r = r.With(text)
		r.Code = code
	})
	return r
}
