package native

import (
	"encoding/base64"

	"tidegate/broker"
	"tidegate/broker/jsontext"
)

// message appends a message object to o, which is nil or a list being written.
func (o object) message(m *broker.Message) object {
	if o == nil {
		o = make([]byte, 0, sizeOf(m)+framing)
	}
	o = o.open("message").str("channel", m.Channel).payload(m)
	o = o.optional("event", m.Event).json("tags", m.Tags).optional("user", m.User).json("info", m.Info).position(m.Position)
	if !m.Time.IsZero() {
		o = o.number("time", m.Time.UnixMilli())
	}
	return o.end()
}

func (o object) payload(m *broker.Message) object {
	switch m.Kind {
	case broker.JSON:
		return append(o.name("data"), m.Payload...)
	case broker.Text:
		return jsontext.AppendString(o.name("text"), m.Payload)
	default:
		o = append(o, `,"binary":"`...)
		o = base64.StdEncoding.AppendEncode(o, m.Payload)
		return append(o, '"')
	}
}

// sizeOf returns the size in bytes of a message object whose strings need no escapes.
func sizeOf(m *broker.Message) int {
	const names = len(`{"type":"message","channel":"","binary":"","event":"","tags":,"user":"","info":,"cursor":":18446744073709551615","time":-9223372036854775808},`)
	payload := len(m.Payload)
	if m.Kind == broker.Binary {
		payload = base64.StdEncoding.EncodedLen(payload)
	}
	return names + len(m.Channel) + payload + len(m.Event) + len(m.Tags) + len(m.User) + len(m.Info) + len(m.Position.Epoch)
}
