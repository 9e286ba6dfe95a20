package pusher

import (
	"encoding/json"
	"strings"

	"tidegate/broker"
)

const mostEvent = 200 // maximum length of an event's name

// isReserved reports whether only the server may use an event's name.
func isReserved(event string) bool {
	return strings.HasPrefix(event, "pusher:") || strings.HasPrefix(event, "pusher_internal:")
}

// payloadOf returns an event's data as the payload of a message: JSON if it is valid, else
// text.
func payloadOf(data string) ([]byte, broker.Kind) {
	payload := []byte(data)
	if json.Valid(payload) && !broker.Nested(payload) {
		return payload, broker.JSON
	}
	return payload, broker.Text
}
