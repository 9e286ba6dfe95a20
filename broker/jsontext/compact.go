package jsontext

import (
	"bytes"
	"encoding/json"
)

// Compact returns a JSON value without white space, or nil for null or invalid JSON.
func Compact(value json.RawMessage) json.RawMessage {
	var buffer bytes.Buffer
	if json.Compact(&buffer, value) != nil || buffer.String() == "null" {
		return nil
	}
	return buffer.Bytes()
}
