package jsontext

import (
	"bytes"
	"encoding/json"
)

// Encode returns a value as JSON. It does not escape <, > and &, so that payloads stay as they
// are.
func Encode(value any) ([]byte, error) {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(encoded.Bytes(), []byte("\n")), err
}
