package api

import (
	"encoding/json"

	"tidegate/broker"
	"tidegate/gateway"
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

// batchItem is one message for some channels, with exactly one payload.
type batchItem struct {
	Channels []string `json:"channels"`
	Event    string   `json:"event"`
	Key      string   `json:"key"`
	payloadFields
}

// payloadFields are the three ways in which JSON carries a payload.
type payloadFields struct {
	Data   json.RawMessage `json:"data,omitempty"`   // any JSON
	Text   *string         `json:"text,omitempty"`   // UTF-8
	Binary *[]byte         `json:"binary,omitempty"` // base64
}

// batchResults has one result for each item and channel, in order. Error is the
// first of the results' errors.
type batchResults struct {
	Error   *told         `json:"error,omitempty"`
	Results []batchResult `json:"results"`
}

type batchResult struct {
	Cursor *string `json:"cursor,omitempty"`
	Error  *told   `json:"error,omitempty"`
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
	payloadFields
	Event  string `json:"event,omitempty"`
	User   string `json:"user,omitempty"`
	Cursor string `json:"cursor,omitempty"`
	Time   int64  `json:"time,omitempty"` // milliseconds since 1970
}

func messageOf(m *broker.Message) message {
	wire := message{Channel: m.Channel, Event: m.Event, User: m.User, Cursor: m.Position.String()}
	if !m.Time.IsZero() {
		wire.Time = m.Time.UnixMilli()
	}
	switch m.Kind {
	case broker.JSON:
		wire.Data = m.Payload
	case broker.Text:
		text := string(m.Payload)
		wire.Text = &text
	default:
		wire.Binary = &m.Payload
	}
	return wire
}
