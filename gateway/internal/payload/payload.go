// Package payload defines the three JSON fields that carry a message's payload.
package payload

import (
	"encoding/json"

	"tidegate/broker"
)

// Fields is embedded in JSON objects. Exactly one of its fields should be set.
type Fields struct {
	Data   json.RawMessage `json:"data,omitempty"`   // any JSON
	Text   *string         `json:"text,omitempty"`   // UTF-8
	Binary *[]byte         `json:"binary,omitempty"` // base64
}

// FieldsOf returns the fields for a payload. It keeps a reference to payload.
func FieldsOf(payload []byte, kind broker.Kind) Fields {
	switch kind {
	case broker.JSON:
		return Fields{Data: payload}
	case broker.Text:
		return Fields{Text: new(string(payload))}
	default:
		return Fields{Binary: &payload}
	}
}

// Payload returns the payload and its kind. ok is true if exactly one of the fields is set.
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
