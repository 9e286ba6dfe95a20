// Package payload has the three fields in which our JSON carries a message's payload.
package payload

import (
	"encoding/json"

	"tidegate/broker"
)

// Fields stands in a JSON object. One of its fields is given.
type Fields struct {
	Data   json.RawMessage `json:"data,omitempty"`   // any JSON
	Text   *string         `json:"text,omitempty"`   // UTF-8
	Binary *[]byte         `json:"binary,omitempty"` // base64
}

// FieldsOf returns a payload as it stands in JSON. It keeps the bytes.
func FieldsOf(payload []byte, kind broker.Kind) Fields {
	switch kind {
	case broker.JSON:
		return Fields{Data: payload}
	case broker.Text:
		text := string(payload)
		return Fields{Text: &text}
	default:
		return Fields{Binary: &payload}
	}
}

// Payload returns what is given, if exactly one of the fields is.
func (f Fields) Payload() (payload []byte, kind broker.Kind, ok bool) {
	given := 0
	if f.Data != nil {
		payload, kind, given = f.Data, broker.JSON, given+1
	}
	if f.Text != nil {
		payload, kind, given = []byte(*f.Text), broker.Text, given+1
	}
	if f.Binary != nil {
		payload, kind, given = *f.Binary, broker.Binary, given+1
	}
	return payload, kind, given == 1
}
