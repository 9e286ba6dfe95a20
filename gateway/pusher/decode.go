package pusher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// Decode parses one event from a client.
func (p Protocol) Decode(frame gateway.Frame) ([]gateway.Command, error) {
	settings := p.app.settings.Load()
	switch {
	case settings == nil:
		return nil, gateway.Disconnected.With("the app is gone")
	case frame.Binary:
		return nil, gateway.Unsupported
	case !utf8.Valid(frame.Data):
		return nil, gateway.InvalidData
	}
	if command := p.decode(frame.Data, settings); command != nil {
		return []gateway.Command{command}, nil
	}
	return nil, nil
}

// said is a frame from a client.
type said struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
}

// details holds the data of pusher:subscribe, pusher:unsubscribe and pusher:signin.
type details struct {
	Channel     string `json:"channel"`
	Auth        string `json:"auth"`
	ChannelData string `json:"channel_data"`
	UserData    string `json:"user_data"`
}

// answered is the ID of all commands that get an answer. Pusher's clients do not number them.
var answered = gateway.ID{Given: true}

func (p Protocol) decode(frame []byte, settings *App) gateway.Command {
	var s said
	if broker.NestedIn(frame, 1) || json.Unmarshal(frame, &s) != nil || s.Event == "" {
		return malformed("a frame is a JSON object with an event")
	}
	if strings.HasPrefix(s.Event, clientPrefix) {
		return p.publish(&s, settings)
	}
	var d details
	if len(s.Data) > 0 && s.Data[0] == '"' { // some clients send the data as a string, as the server does
		var inner string
		if json.Unmarshal(s.Data, &inner) == nil {
			s.Data = json.RawMessage(inner)
		}
	}
	switch s.Event {
	case "pusher:ping":
		return gateway.Ping{ID: answered}
	case "pusher:pong":
		return nil
	case "pusher:subscribe", "pusher:unsubscribe", "pusher:signin":
		if broker.Nested(s.Data) || json.Unmarshal(s.Data, &d) != nil {
			return malformed("the data of " + s.Event + " must be an object of strings")
		}
	}
	switch s.Event {
	case "pusher:subscribe":
		return p.subscribe(&d)
	case "pusher:unsubscribe":
		if rules.IsOnline(p.app.channelOf(d.Channel)) { // only the server may change it
			return nil
		}
		return gateway.Unsubscribe{ID: answered, Channel: p.app.channelOf(d.Channel)}
	case "pusher:signin":
		return gateway.Auth{ID: answered, Token: d.Auth, Data: d.UserData}
	}
	return malformed(fmt.Sprintf("the event %.64q is not known: want pusher:subscribe, pusher:unsubscribe, pusher:signin, pusher:ping, pusher:pong or client-…", s.Event))
}

func malformed(reason string) gateway.Command { return gateway.Malformed{Reason: reason} }

func (p Protocol) subscribe(d *details) gateway.Command {
	c := gateway.Subscribe{
		ID: answered, Channel: p.app.channelOf(d.Channel), Token: d.Auth, Data: d.ChannelData,
		NoEcho: true, Members: isPresence(d.Channel),
	}
	if isCache(d.Channel) {
		c.Recent = 1
	}
	return c
}

// publish returns the command for a client event. As in events from backends, data that is a
// JSON string stands for the text that it contains.
func (p Protocol) publish(s *said, settings *App) gateway.Command {
	switch {
	case settings.NoClientEvents:
		return malformed("client events are not enabled for this app")
	case !isSigned(s.Channel):
		return malformed("client events are for private and presence channels only")
	case len(s.Event) > mostEvent:
		return malformed("the event's name is too long: at most 200 characters are allowed")
	case len(s.Data) > settings.eventBytes():
		return malformed(fmt.Sprintf("the event's data has %d bytes: at most %d are allowed", len(s.Data), settings.eventBytes()))
	}
	payload, kind := bytes.Clone(s.Data), broker.JSON
	var text string
	switch {
	case len(payload) == 0:
		payload = []byte("null")
	case payload[0] == '"' && json.Unmarshal(payload, &text) == nil:
		payload, kind = payloadOf(text)
	}
	return gateway.Publish{Channel: p.app.channelOf(s.Channel), Payload: payload, Kind: kind, Event: s.Event, Joined: true, Transient: true}
}
