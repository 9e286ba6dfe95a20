package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// refusal is an error that the gateway replied with.
type refusal struct {
	Code, Message string
}

func (r *refusal) Error() string {
	text := "the gateway refuses: " + r.Code
	if r.Message != "" {
		text += ": " + r.Message
	}
	if hint := hintOf(r.Code); hint != "" {
		text += " (" + hint + ")"
	}
	return text
}

// hintOf returns advice on how to configure the gateway or the benchmark to avoid an error,
// or "".
func hintOf(code string) string {
	switch code {
	case "rate_limited":
		return "run the gateway with limits.commands_per_second: 0, limits.bytes_per_second: 0 and limits.connects_per_second: 0"
	case "limit_exceeded":
		return "see limits.sessions, limits.sessions_per_user, limits.sessions_per_ip and limits.channels_per_session of the gateway"
	case "unauthenticated":
		return "set --token or --secret-file, or give the gateway a rule for channels that begin with " + channelPrefix
	case "forbidden":
		return "the gateway needs a rule for channels that begin with " + channelPrefix
	}
	return ""
}

// refusalOf returns the error in an HTTP response that does not upgrade, and closes its body.
func refusalOf(answer *http.Response) error {
	defer answer.Body.Close()
	var body struct{ Error refusal }
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if json.Unmarshal(text, &body) == nil && body.Error.Code != "" {
		return &body.Error
	}
	return fmt.Errorf("the server answers %s to a WebSocket handshake", answer.Status)
}
