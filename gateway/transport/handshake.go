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

// upgrade takes the connection of a handshake that has been checked, and returns
// it, what the client has sent already, and the answer that it is to be sent (RFC
// 6455, section 4.2.2). The extension is what is agreed to; "": none.
func upgrade(w http.ResponseWriter, r *http.Request, subprotocols []string, extension string) (conn net.Conn, early, answer []byte, err error) {
	conn, buffers, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, nil, err
	}
	read, _ := buffers.Reader.Peek(buffers.Reader.Buffered())
	return conn, bytes.Clone(read), answerOf(r, subprotocols, extension), nil
}

// answerOf returns the answer to a handshake.
func answerOf(r *http.Request, subprotocols []string, extension string) []byte {
	answer := make([]byte, 0, 256)
	answer = append(answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	answer = appendAcceptance(answer, strings.TrimSpace(r.Header.Get("Sec-Websocket-Key")))
	for _, subprotocol := range subprotocols {
		if names(r.Header["Sec-Websocket-Protocol"], subprotocol) {
			answer = append(append(answer, "\r\nSec-WebSocket-Protocol: "...), subprotocol...)
			break
		}
	}
	if extension != "" {
		answer = append(append(answer, "\r\nSec-WebSocket-Extensions: "...), extension...)
	}
	return append(answer, "\r\n\r\n"...)
}

// appendAcceptance appends the proof that a handshake has been understood.
func appendAcceptance(b []byte, key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.AppendEncode(b, sum[:])
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
