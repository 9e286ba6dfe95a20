package native

import (
	"tidegate/broker/jsontext"
	"tidegate/gateway"
)

func encode(event gateway.Event) []byte {
	switch e := event.(type) {
	case gateway.Message:
		return object(nil).message(e.Message)
	case gateway.Published:
		if !e.ID.Given {
			return nil
		}
		return begin("published").id(e.ID).position(e.Position).end()
	case gateway.Welcome:
		return begin("welcome").id(e.ID).str("session", e.Session).optional("user", e.User).
			str("node", e.Node).ping(e.Ping).json("data", e.Data).end()
	case gateway.Subscribed:
		return encodeSubscribed(e)
	case gateway.Unsubscribed:
		return encodeUnsubscribed(e)
	case gateway.Members:
		return encodeMembers(e)
	case gateway.Messages:
		return encodeMessages(e)
	case gateway.Join:
		return begin("join").str("channel", e.Channel).str("user", e.User).optional("session", e.Session).json("info", e.Info).end()
	case gateway.Leave:
		return begin("leave").str("channel", e.Channel).str("user", e.User).optional("session", e.Session).end()
	case gateway.PresenceChanged:
		return begin("presence_changed").str("channel", e.Channel).end()
	case gateway.Gap:
		return begin("gap").str("channel", e.Channel).end()
	case gateway.Failure:
		return encodeFailure(e)
	case gateway.Pong:
		return begin("pong").id(e.ID).end()
	case gateway.Reconnect:
		return begin("reconnect").within(e.Within).end()
	}
	return nil
}

// encodeSubscribed writes as cursor the position that all later messages follow or, for a
// client that came with a cursor, the current position of the channel. If the client has
// asked without an id, it is told only of a loss.
func encodeSubscribed(e gateway.Subscribed) []byte {
	if e.Asked && !e.ID.Given && (e.Recovered || !e.Resumed) {
		return nil
	}
	at := e.After
	if e.Resumed {
		at = e.Position
	}
	return begin("subscribed").id(e.ID).str("channel", e.Channel).position(at).recovered(e).json("data", e.Data).end()
}

func encodeUnsubscribed(e gateway.Unsubscribed) []byte {
	asked := e.Code == ""
	if asked && !e.ID.Given {
		return nil
	}
	o := begin("unsubscribed").id(e.ID).str("channel", e.Channel)
	if !asked {
		o = o.str("code", string(e.Code)).optional("reason", e.Reason)
	}
	return o.end()
}

// encodeFailure adds the channel if there is no id to tell which command failed.
func encodeFailure(e gateway.Failure) []byte {
	o := begin("error").id(e.ID)
	if !e.ID.Given {
		o = o.optional("channel", e.Channel)
	}
	return o.str("code", string(e.Code)).str("message", e.Message).end()
}

func encodeMembers(e gateway.Members) []byte {
	o := begin("presence").id(e.ID).str("channel", e.Channel)
	o = append(o, `,"members":[`...)
	for i, m := range e.Members {
		if i > 0 {
			o = append(o, ',')
		}
		o = append(o, `{"user":`...)
		o = jsontext.AppendString(o, m.User)
		o = o.optional("session", m.Session).json("info", m.Info).number("sessions", int64(m.Sessions)).end()
	}
	return append(o, ']').end()
}

func encodeMessages(e gateway.Messages) []byte {
	size := 128
	for i := range e.Messages {
		size += sizeOf(&e.Messages[i])
	}
	o := object(make([]byte, 0, size+framing)).open("history").id(e.ID).str("channel", e.Channel)
	o = append(o, `,"messages":[`...)
	for i := range e.Messages {
		if i > 0 {
			o = append(o, ',')
		}
		o = o.message(&e.Messages[i])
	}
	o = append(o, ']').position(e.Position)
	if e.Lost {
		o = append(o, `,"recovered":false`...)
	}
	return o.end()
}
