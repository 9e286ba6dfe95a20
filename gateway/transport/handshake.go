package transport

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"net"
	"net/http"
	"strings"
)

const webSocketVersion = "13"

// checkUpgrade tells those who did not come for a WebSocket what there is
// (RFC 9110, section 15.5.22; RFC 6455, section 4.4).
func checkUpgrade(w http.ResponseWriter, r *http.Request) error {
	switch {
	case r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) ||
		!names(r.Header["Connection"], "upgrade") || !names(r.Header["Upgrade"], "websocket"):
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		return badRequest("this is a WebSocket endpoint: connect with a WebSocket client")
	case r.Header.Get("Sec-Websocket-Version") != webSocketVersion:
		w.Header().Set("Sec-WebSocket-Version", webSocketVersion)
		return badRequest("only version 13 of the WebSocket protocol is spoken here")
	}
	return nil
}

// checkKey returns nil if the request has a key as a handshake must (RFC 6455,
// section 4.2.1).
func checkKey(r *http.Request) error {
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return badRequest("a WebSocket handshake has one Sec-WebSocket-Key")
	}
	nonce, err := base64.StdEncoding.DecodeString(strings.TrimSpace(keys[0]))
	if err != nil || len(nonce) != 16 {
		return badRequest("Sec-WebSocket-Key must be 16 bytes in base64")
	}
	return nil
}

// upgrade answers a handshake that has been checked (RFC 6455, section 4.2.2) and
// returns the connection, and what the client has sent already. The extension is
// what it agrees to; "": none.
func upgrade(w http.ResponseWriter, r *http.Request, subprotocols []string, extension string) (net.Conn, []byte, error) {
	header := w.Header()
	header["Upgrade"] = []string{"websocket"}
	header["Connection"] = []string{"Upgrade"}
	header["Sec-Websocket-Accept"] = []string{acceptance(strings.TrimSpace(r.Header.Get("Sec-Websocket-Key")))}
	for _, subprotocol := range subprotocols {
		if names(r.Header["Sec-Websocket-Protocol"], subprotocol) {
			header["Sec-Websocket-Protocol"] = []string{subprotocol}
			break
		}
	}
	if extension != "" {
		header["Sec-Websocket-Extensions"] = []string{extension}
	}
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, buffers, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, _ := buffers.Reader.Peek(buffers.Reader.Buffered())
	return conn, bytes.Clone(early), nil
}

// acceptance returns the proof that a handshake has been understood.
func acceptance(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// names reports whether a header's values, comma-separated lists, name a token.
func names(values []string, token string) bool {
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}
