package centrifuge

import (
	"unicode/utf8"

	"tidegate/gateway"
	"tidegate/gateway/centrifuge/internal/wire"
)

// Protocol implements the client protocol in one of its formats. With OneWay, the client sends
// only its connect request and receives pushes, both without an envelope and only in JSON.
type Protocol struct {
	Format  Format
	Framing Framing
	OneWay  bool
}

var _ gateway.Protocol = Protocol{}

// Name returns "centrifuge".
func (Protocol) Name() string { return "centrifuge" }

// Decode parses the commands of a frame. As the SDKs expect, a frame that cannot be parsed is
// an error and ends the session; a command that cannot be executed is returned as Malformed.
func (p Protocol) Decode(frame gateway.Frame) ([]gateway.Command, error) {
	switch {
	case p.Format == Protobuf:
		return decodeProtobuf(frame.Data)
	case !utf8.Valid(frame.Data):
		return nil, gateway.InvalidData
	case p.OneWay:
		return decodeConnect(frame.Data)
	}
	return decodeJSON(frame.Data)
}

// Encode encodes one event.
func (p Protocol) Encode(event gateway.Event) (gateway.Frame, error) {
	reply, err := p.replyTo(event)
	if err != nil || reply == nil {
		return gateway.Frame{}, err
	}
	frame, err := p.frame(reply)
	switch e := event.(type) {
	case gateway.Gap:
		frame.Last = true
	case gateway.Subscribed:
		if isLoss(e) && !p.OneWay && err == nil {
			return p.begunAnew(e.Channel, frame)
		}
	}
	return frame, err
}

// begunAnew puts two pushes before begins, which say that the server-side subscription has ended
// with insufficient state. Not every SDK checks whether a subscription that begins has recovered.
func (p Protocol) begunAnew(channel string, begins gateway.Frame) (frame gateway.Frame, err error) {
	for _, told := range []*wire.Push{
		{Channel: channel, Subscribe: &wire.Subscribe{}},
		{Channel: channel, Unsubscribe: insufficient()},
	} {
		one, err := p.frame(push(told))
		if err != nil {
			return frame, err
		}
		frame.Data = append(frame.Data, one.Data...)
		if p.Format == JSON && p.Framing == Messages {
			frame.Data = append(frame.Data, '\n')
		}
	}
	begins.Data = append(frame.Data, begins.Data...)
	return begins, nil
}

func (p Protocol) frame(reply *wire.Reply) (gateway.Frame, error) {
	if p.Format == Protobuf {
		data, err := appendProtobuf(reply)
		return gateway.Frame{Data: data, Binary: true}, err
	}
	data, err := appendJSON([]byte(before[p.Framing]), reply, p.OneWay)
	return gateway.Frame{Data: append(data, behind[p.Framing]...)}, err
}

// Text around a JSON reply: see Framing, and section 9.2.6 of the HTML standard.
var (
	before = [...]string{Messages: "", Lines: "", Events: "data: "}
	behind = [...]string{Messages: "", Lines: "\n", Events: "\n\n"}
)

// last returns the final data of a stream: the reason, if it tells the SDKs more than that
// the stream has ended.
func (p Protocol) last(reason gateway.Reason) []byte {
	if reason.Code < shutdown {
		return nil
	}
	frame, err := p.frame(push(&wire.Push{Disconnect: &wire.Disconnect{Code: uint32(reason.Code), Reason: utf8Of(reason.Text)}}))
	if err != nil {
		return nil
	}
	return frame.Data
}

// replyTo returns the reply or push for an event, or nil if the event is not sent.
func (p Protocol) replyTo(event gateway.Event) (*wire.Reply, error) {
	reply, err := replyTo(event, p.Format)
	switch {
	case reply == nil:
	case p.OneWay && !isPush(reply):
		return nil, err
	case reply.Connect != nil:
		reply.Connect.Pong = reply.Connect.Pong && p.Framing == Messages && !p.OneWay // a stream needs no pong: its transport notices when the client is gone
	}
	return reply, err
}

// Farewell returns the close code that makes the SDKs reconnect, or not. Codes that they
// know from WebSocket itself are unchanged.
func (Protocol) Farewell(r gateway.Reason) (code int, text string) { return farewellCode(r), r.Text }
