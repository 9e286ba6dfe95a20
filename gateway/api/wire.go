package api

import (
	"encoding/json"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/internal/payload"
)

// Bodies of requests and answers, in the order of openapi.yaml.

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
func listed[T any](name string) func([]T, error) (any, error) {
	return func(list []T, err error) (any, error) {
		if err != nil {
			return nil, err
		}
		return map[string][]T{name: append([]T{}, list...)}, nil
	}
}

// converted returns the list with each item converted.
func converted[T, U any](list []T, convert func(T) U) []U {
	all := make([]U, len(list))
	for i, item := range list {
		all[i] = convert(item)
	}
	return all
}

// session replaces the time of a SessionInfo.
type session struct {
	gateway.SessionInfo
	Since int64 `json:"since"` // milliseconds since 1970
}

func sessionOf(s gateway.SessionInfo) session { return session{s, s.Since.UnixMilli()} }

// reached is the number of sessions that a command has reached. If there is also an Error,
// the command may have missed others.
type reached struct {
	Error    *gateway.Error `json:"error,omitempty"`
	Sessions int            `json:"sessions"`
}
