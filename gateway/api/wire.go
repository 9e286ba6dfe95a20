package api

import (
	"encoding/json"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/internal/payload"
)

// The bodies of requests and answers, in the order of openapi.yaml.

// errorBody is what every answer above 399 has.
type errorBody struct {
	Error told `json:"error"`
}

// told is an error as a client is told of it.
type told struct {
	Code    gateway.Code `json:"code"`
	Message string       `json:"message"`
}

// published answers a publish. The cursor is empty without history.
type published struct {
	Cursor string `json:"cursor"`
}

// page is a page of history. Recovered is false if messages after the cursor
// that was asked for are gone.
type page struct {
	Messages  []message `json:"messages"`
	Cursor    string    `json:"cursor"`
	Recovered *bool     `json:"recovered,omitempty"`
}

// message is one message of a channel, with the names of the native protocol.
type message struct {
	Channel string `json:"channel"`
	payload.Fields
	Event  string          `json:"event,omitempty"`
	Tags   json.RawMessage `json:"tags,omitempty"`
	User   string          `json:"user,omitempty"`
	Info   json.RawMessage `json:"info,omitempty"`
	Cursor string          `json:"cursor,omitempty"`
	Time   int64           `json:"time,omitempty"` // milliseconds since 1970
}

func messageOf(m *broker.Message) message {
	wire := message{
		Channel: m.Channel, Fields: payload.FieldsOf(m.Payload, m.Kind), Event: m.Event, Tags: m.Tags,
		User: m.User, Info: m.Info, Cursor: m.Position.String(),
	}
	if !m.Time.IsZero() {
		wire.Time = m.Time.UnixMilli()
	}
	return wire
}

// members answers with who is on a channel, by user.
type members struct {
	Members []member `json:"members"`
}

// member is who is on a channel: a user, or a session. One without sessions has just
// left, and nobody is told yet, since it may come back.
type member struct {
	User     string          `json:"user"`
	Session  string          `json:"session,omitempty"` // where each session is a member
	Info     json.RawMessage `json:"info,omitempty"`    // from the user's token
	Sessions int             `json:"sessions"`
}

// channels answers with the channels that somebody listens to, by name.
type channels struct {
	Channels []channel `json:"channels"`
}

type channel struct {
	Channel  string `json:"channel"`
	Sessions int    `json:"sessions"`
	Users    int    `json:"users"`
	Messages int    `json:"messages"`
}

// sessions answers with a user's sessions, the oldest first.
type sessions struct {
	Sessions []session `json:"sessions"`
}

type session struct {
	Session   string   `json:"session"`
	Node      string   `json:"node"`
	Transport string   `json:"transport"`
	Protocol  string   `json:"protocol"`
	Channels  []string `json:"channels"`
	Since     int64    `json:"since"` // milliseconds since 1970
}

func sessionOf(s gateway.SessionInfo) session {
	return session{s.Session, s.Node, s.Transport, s.Protocol, s.Channels, s.Since.UnixMilli()}
}

// reached says how many sessions a command has reached, also beside an error, with
// which it may have missed others.
type reached struct {
	Error    *told `json:"error,omitempty"`
	Sessions int   `json:"sessions"`
}

// nodes answers with the nodes that are alive, by name.
type nodes struct {
	Nodes []node `json:"nodes"`
}

type node struct {
	Node     string `json:"node"`
	Host     string `json:"host"`
	Sessions int    `json:"sessions"`
	Version  string `json:"version"`
	Since    int64  `json:"since"` // milliseconds since 1970
}

func nodeOf(n gateway.NodeInfo) node {
	return node{n.Node, n.Host, n.Sessions, n.Version, n.Since.UnixMilli()}
}
