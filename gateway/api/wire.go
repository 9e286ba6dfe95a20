package api

import (
	"encoding/json"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/internal/payload"
)

// Bodies of requests and answers, in the order of openapi.yaml.

// errorBody is the body of every answer with a status of 400 or more.
type errorBody struct {
	Error told `json:"error"`
}

// told is an error in the form that clients get.
type told struct {
	Code    gateway.Code `json:"code"`
	Message string       `json:"message"`
}

// published is the answer to a publish. Cursor is empty if the channel has no history.
type published struct {
	Cursor string `json:"cursor"`
}

// page is a page of history. Recovered is false if messages after the requested cursor
// no longer exist.
type page struct {
	Messages  []message `json:"messages"`
	Cursor    string    `json:"cursor"`
	Recovered *bool     `json:"recovered,omitempty"`
}

// message is a message of a channel, with the field names of the native protocol.
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

// listed returns a function that returns the answer {name: list}, or the error of getting the
// list. An empty list is [].
func listed[T, U any](name string, convert func(T) U) func([]T, error) (any, error) {
	return func(list []T, err error) (any, error) {
		if err != nil {
			return nil, err
		}
		told := make([]U, len(list))
		for i, item := range list {
			told[i] = convert(item)
		}
		return map[string][]U{name: told}, nil
	}
}

// member is a user or a session on a channel. A member without sessions has just left, but
// the leave has not been announced yet, because the member may come back.
type member struct {
	User     string          `json:"user"`
	Session  string          `json:"session,omitempty"` // set if each session is a member
	Info     json.RawMessage `json:"info,omitempty"`    // from the user's token
	Sessions int             `json:"sessions"`
}

func memberOf(m gateway.Member) member { return member{m.User, m.Session, m.Info, m.Sessions} }

// channel is a channel that has subscribers.
type channel struct {
	Channel  string `json:"channel"`
	Sessions int    `json:"sessions"`
	Users    int    `json:"users"`
	Messages int    `json:"messages"`
}

func channelOf(c gateway.ChannelInfo) channel { return channel(c) }

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

// reached is the number of sessions that a command has reached. If there is also an Error,
// the command may have missed others.
type reached struct {
	Error    *told `json:"error,omitempty"`
	Sessions int   `json:"sessions"`
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
