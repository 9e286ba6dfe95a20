package pusher

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"tidegate/broker"
	"tidegate/broker/jsontext"
	"tidegate/gateway"
	"tidegate/gateway/transport"
)

// Encode encodes one event. An event that clients must know about but that the Pusher
// protocol cannot express is an error and ends the session: clients reconnect and start
// again.
func (p Protocol) Encode(event gateway.Event) (gateway.Frame, error) {
	if e, refused := event.(gateway.Goodbye); refused {
		code, text := p.Farewell(e.Reason)
		return gateway.Frame{Data: failed(code, text)}, nil
	}
	if p.app == nil || p.app.settings.Load() == nil {
		return gateway.Frame{}, gateway.Disconnected.With("the app is gone")
	}
	data, err := p.encode(event)
	return gateway.Frame{Data: data, Others: true}, err
}

// activityTimeout is the number of seconds without traffic after which a client sends a
// ping.
const activityTimeout = 120

const (
	ping = `{"event":"pusher:ping","data":{}}`
	pong = `{"event":"pusher:pong","data":{}}`
)

func (p Protocol) encode(event gateway.Event) ([]byte, error) {
	if user, is := aboutWatched(event); is {
		return p.watched(user, event), nil
	}
	switch e := event.(type) {
	case gateway.Message:
		return p.message(e.Message), nil
	case gateway.Welcome:
		return p.welcome(e), nil
	case gateway.Subscribed:
		return p.subscribed(e), nil
	case gateway.NothingRecent:
		return p.about("pusher:cache_miss", e.Channel, nil), nil
	case gateway.Counted:
		return p.counted(e), nil
	case gateway.Unsubscribed:
		return p.unsubscribed(e), nil
	case gateway.Join:
		return p.about("pusher_internal:member_added", e.Channel, p.member(e.User, infoOf(e.Info))), nil
	case gateway.Leave:
		return p.about("pusher_internal:member_removed", e.Channel, p.member(e.User, nil)), nil
	case gateway.Failure:
		return p.failure(e)
	case gateway.Pong:
		return []byte(pong), nil
	case gateway.Heartbeat:
		return []byte(ping), nil
	case gateway.Gap:
		return nil, gateway.Missed
	case gateway.PresenceChanged:
		return nil, gateway.Missed.With("more members came or left than can be told one by one")
	case gateway.Reconnect:
		return nil, gateway.Draining
	}
	return nil, nil
}

// about is ownEvent for one of the gateway's channels.
func (p Protocol) about(event, channel string, data any) []byte {
	return ownEvent(event, p.app.nameOf(channel), data)
}

// ownEvent encodes an event of the server's own. The channel may be empty. The data is an object
// or, where Pusher's servers send that, its JSON as a string; it may be nil.
func ownEvent(event, channel string, data any) []byte {
	encoded, _ := jsontext.Encode(struct { // of types that can be encoded
		Event   string `json:"event"`
		Channel string `json:"channel,omitempty"`
		Data    any    `json:"data,omitempty"`
	}{event, channel, data})
	return encoded
}

// textOf returns the JSON of a value that can be encoded.
func textOf(value any) string {
	encoded, _ := jsontext.Encode(value)
	return string(encoded)
}

// message encodes a message from any kind of client. If its event name is reserved for the
// server, the name is replaced by "message", as if it were missing.
func (p Protocol) message(m *broker.Message) []byte {
	event := m.Event
	if event == "" || isReserved(event) {
		event = "message"
	}
	name := p.app.nameOf(m.Channel)
	b := make([]byte, 0, 64+len(event)+len(name)+len(m.Payload)+len(m.Payload)/4)
	b = jsontext.AppendString(append(b, `{"event":`...), event)
	b = jsontext.AppendString(append(b, `,"channel":`...), name)
	b = append(b, `,"data":`...)
	if m.Kind == broker.Binary {
		b = append(base64.StdEncoding.AppendEncode(append(b, '"'), m.Payload), '"')
	} else {
		b = jsontext.AppendString(b, m.Payload)
	}
	if m.User != "" && isPresence(name) && strings.HasPrefix(event, clientPrefix) {
		b = jsontext.AppendString(append(b, `,"user_id":`...), p.app.idOf(m.User))
	}
	return append(b, '}')
}

// welcome encodes the beginning of a connection, or the answer to a sign-in.
func (p Protocol) welcome(e gateway.Welcome) []byte {
	if !e.ID.Given {
		return ownEvent("pusher:connection_established", "", textOf(struct {
			SocketID        string `json:"socket_id"`
			ActivityTimeout int    `json:"activity_timeout"`
		}{e.Session, activityTimeout}))
	}
	user := textOf(struct {
		ID   string          `json:"id"`
		Info json.RawMessage `json:"user_info,omitempty"`
	}{p.app.idOf(e.User), e.Info})
	return ownEvent("pusher:signin_success", "", map[string]string{"user_data": user})
}

func (p Protocol) subscribed(e gateway.Subscribed) []byte {
	data := "{}"
	if isPresence(p.app.nameOf(e.Channel)) {
		data = p.roster(e.Members)
	}
	return p.about("pusher_internal:subscription_succeeded", e.Channel, data)
}

// counted encodes a subscription count. It returns nil for presence channels, whose members
// are announced one by one, and if the app has not enabled counts.
func (p Protocol) counted(e gateway.Counted) []byte {
	settings := p.app.settings.Load()
	if settings == nil || !settings.SubscriptionCounts || isPresence(p.app.nameOf(e.Channel)) {
		return nil
	}
	return p.about("pusher_internal:subscription_count", e.Channel, textOf(map[string]int{"subscription_count": e.Sessions}))
}

// unsubscribed encodes the end of a subscription, or returns nil if the client asked for it.
func (p Protocol) unsubscribed(e gateway.Unsubscribed) []byte {
	if e.Code == "" {
		return nil
	}
	return p.refused(e.Channel, e.Code, e.Reason)
}

// roster encodes the members of a presence channel, each user once.
func (p Protocol) roster(members []gateway.Member) string {
	var who struct {
		IDs   []string                   `json:"ids"`
		Hash  map[string]json.RawMessage `json:"hash"`
		Count int                        `json:"count"`
	}
	who.IDs, who.Hash = []string{}, make(map[string]json.RawMessage)
	for _, m := range members {
		id := p.app.idOf(m.User)
		if _, known := who.Hash[id]; m.User == "" || known {
			continue
		}
		who.IDs, who.Hash[id] = append(who.IDs, id), infoOf(m.Info)
	}
	who.Count = len(who.IDs)
	return textOf(map[string]any{"presence": who})
}

// member encodes a user who joins a presence channel or leaves it. A nil info is left out.
func (p Protocol) member(user string, info json.RawMessage) string {
	return textOf(struct {
		ID   string          `json:"user_id"`
		Info json.RawMessage `json:"user_info,omitempty"`
	}{p.app.idOf(user), info})
}

// infoOf returns the info, or an empty object if it is nil.
func infoOf(info json.RawMessage) json.RawMessage {
	if info == nil {
		return json.RawMessage("{}")
	}
	return info
}

// failure encodes a failed command: a subscribe as pusher:subscription_error, all others as
// pusher:error. A failed unsubscribe needs no answer. If a subscribe or a sign-in failed for a
// temporary reason, or a sign-in only in part, failure returns an error, so that the client
// reconnects and tries again. The libraries do not try again otherwise.
func (p Protocol) failure(e gateway.Failure) ([]byte, error) {
	unavailable, tooMuch := e.Code == gateway.Unavailable, e.Code == gateway.RateLimited
	switch {
	case e.Command == "unsubscribe":
		return nil, nil
	case e.Command == "subscribe" && (unavailable || tooMuch),
		e.Command == "auth" && (unavailable || e.Code == gateway.Internal || e.Code == gateway.LimitExceeded):
		return nil, gateway.NotConfirmed.With(e.Message)
	case e.Command == "subscribe":
		return p.refused(e.Channel, e.Code, e.Message), nil
	case tooMuch:
		return failed(tooFast, e.Message), nil
	case e.Command == "auth":
		return failed(unauthorized, e.Message), nil
	}
	return failed(0, e.Message), nil
}

// refused encodes that the client is not subscribed, or no longer.
func (p Protocol) refused(channel string, code gateway.Code, message string) []byte {
	status, kind := transport.StatusOf(&gateway.Error{Code: code}), "Error"
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		kind = "AuthError"
	}
	return p.about("pusher:subscription_error", channel, struct {
		Type   string `json:"type"`
		Error  string `json:"error"`
		Status int    `json:"status"`
	}{kind, message, status})
}

// failed encodes pusher:error. Its code is null if code is 0.
func failed(code int, message string) []byte {
	data := struct {
		Message string `json:"message"`
		Code    *int   `json:"code"`
	}{Message: message}
	if code != 0 {
		data.Code = &code
	}
	return ownEvent("pusher:error", "", data)
}
