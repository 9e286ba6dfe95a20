package pusher

import (
	"encoding/json"
	"strings"

	"tidegate/broker"
)

const mostEvent = 200 // characters of an event's name

// isReserved reports whether an event's name is one that only the server says.
func isReserved(event string) bool {
	return strings.HasPrefix(event, "pusher:") || strings.HasPrefix(event, "pusher_internal:")
}

// payloadOf returns an event's data as other clients are to have it.
func payloadOf(data string) ([]byte, broker.Kind) {
	payload := []byte(data)
	if json.Valid(payload) && !broker.Nested(payload) {
		return payload, broker.JSON
	}
	return payload, broker.Text
}
