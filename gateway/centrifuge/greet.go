package centrifuge

import (
	"net/http"
	"strings"

	"tidegate/gateway"
)

// The subprotocols that a WebSocket client may ask for. Without one it speaks JSON,
// unless its URL says otherwise: see Greet.
const (
	SubprotocolProtobuf = "centrifuge-protobuf"
	SubprotocolJSON     = "centrifuge-json"
)

// Greet begins a session that speaks Protobuf if its subprotocol, ?format= or
// ?cf_protocol= says so, else JSON.
func Greet(r *http.Request) (gateway.Hello, error) {
	return gateway.Hello{Protocol: Protocol{Format: formatOf(r)}, AuthLater: true, AuthFirst: true, TellRefusal: true}, nil
}

func formatOf(r *http.Request) Format {
	query := r.URL.Query()
	if query.Get("format") == "protobuf" || query.Get("cf_protocol") == "protobuf" {
		return Protobuf
	}
	for _, offers := range r.Header["Sec-Websocket-Protocol"] {
		for offer := range strings.SplitSeq(offers, ",") {
			if strings.TrimSpace(offer) == SubprotocolProtobuf {
				return Protobuf
			}
		}
	}
	return JSON
}
