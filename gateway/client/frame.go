package client

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// command is a frame from the client. Package native documents the protocol.
type command struct {
	Type      string            `json:"type"`
	ID        int64             `json:"id,omitempty"`
	Channel   string            `json:"channel,omitempty"`
	Cursor    string            `json:"cursor,omitempty"`
	Recent    int               `json:"recent,omitempty"`
	Echo      *bool             `json:"echo,omitempty"`
	Limit     int               `json:"limit,omitempty"`
	Data      json.RawMessage   `json:"data,omitempty"`
	Text      *string           `json:"text,omitempty"`
	Binary    *[]byte           `json:"binary,omitempty"`
	Event     string            `json:"event,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
	Key       string            `json:"key,omitempty"`
	Transient bool              `json:"transient,omitempty"`
}

// publishing returns the command that publishes m, or an error if the payload is not
// valid for its Kind.
func publishing(m Message) (command, error) {
	publish := command{Type: "publish", Channel: m.Channel, Event: m.Event, Tags: m.Tags, Key: m.Key, Transient: m.Transient}
	if publish.Key == "" {
		publish.Key = rand.Text()
	}
	switch m.Kind {
	case JSON:
		if !json.Valid(m.Payload) {
			return command{}, fmt.Errorf("publish on %q: the payload is not JSON: %.40q", m.Channel, m.Payload)
		}
		publish.Data = m.Payload
	case Text:
		if !utf8.Valid(m.Payload) {
			return command{}, fmt.Errorf("publish on %q: the payload is not UTF-8: %.40q", m.Channel, m.Payload)
		}
		text := string(m.Payload)
		publish.Text = &text
	default:
		bytes := append([]byte{}, m.Payload...) // never nil, which would be null
		publish.Binary = &bytes
	}
	return publish, nil
}

// encode panics if the data is not JSON, which the caller must check.
func (c command) encode() []byte {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // the gateway passes JSON on as it is, so the payload would grow
	if err := encoder.Encode(c); err != nil {
		panic("client: " + err.Error())
	}
	return encoded.Bytes()
}

// frame is a frame from the gateway.
type frame struct {
	Type      string            `json:"type"`
	ID        int64             `json:"id"`
	Channel   string            `json:"channel"`
	Cursor    string            `json:"cursor"`
	Recovered *bool             `json:"recovered"`
	Data      json.RawMessage   `json:"data"`
	Text      *string           `json:"text"`
	Binary    []byte            `json:"binary"`
	Event     string            `json:"event"`
	Tags      map[string]string `json:"tags"`
	User      string            `json:"user"`
	Session   string            `json:"session"`
	Time      int64             `json:"time"`
	Info      json.RawMessage   `json:"info"`
	Members   []Member          `json:"members"`
	Messages  []frame           `json:"messages"`
	Code      string            `json:"code"`
	Message   string            `json:"message"`
	Reason    string            `json:"reason"`
	Ping      float64           `json:"ping"`
}

// fingerprint returns the same value for a message that arrives on two links. Two messages
// share it only if they have the same content and were published in the same millisecond.
func (f *frame) fingerprint() fingerprint {
	text, _ := json.Marshal(f) // cannot fail: the frame was decoded from JSON
	return sha256.Sum256(text)
}

type fingerprint [sha256.Size]byte

func (f *frame) recovered() bool { return f.Recovered != nil && *f.Recovered }

func (f *frame) message() Message {
	m := Message{Channel: f.Channel, Event: f.Event, Tags: f.Tags, User: f.User, Info: f.Info, Cursor: f.Cursor}
	if f.Time != 0 {
		m.Time = time.UnixMilli(f.Time)
	}
	switch {
	case f.Data != nil:
		m.Payload = f.Data
	case f.Text != nil:
		m.Payload, m.Kind = []byte(*f.Text), Text
	default:
		m.Payload, m.Kind = f.Binary, Binary
	}
	return m
}
