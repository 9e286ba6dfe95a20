package centrifuge

import (
	"net/http"
	"strings"

	"tidegate/gateway"
)

// Subprotocols that a WebSocket client may request. Without one it speaks JSON, unless its
// URL says otherwise: see Greet.
const (
	SubprotocolProtobuf = "centrifuge-protobuf"
	SubprotocolJSON     = "centrifuge-json"
)

// Greet begins a session that speaks Protobuf if the subprotocol, ?format= or ?cf_protocol=
// says so, else JSON.
func Greet(r *http.Request) (gateway.Hello, error) { return hello(Protocol{Format: formatOf(r)}), nil }

// GreetOneWay begins a session that only receives. Its connect request is ?cf_connect= or
// the first message.
func GreetOneWay(r *http.Request) (gateway.Hello, error) {
	p := Protocol{OneWay: true}
	h := hello(p)
	request := r.URL.Query().Get(connectParameter)
	if request == "" {
		return h, nil
	}
	var err error
	h.Commands, err = p.Decode(gateway.Frame{Data: []byte(request)})
	return h, err
}

// connectParameter is the query parameter with the connect request of a client that
// cannot send messages.
const connectParameter = "cf_connect"

func hello(p Protocol) gateway.Hello {
	return gateway.Hello{Protocol: p, AuthLater: true, AuthFirst: true, TellRefusal: true, Pinged: true}
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
