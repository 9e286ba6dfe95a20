package websocket

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"strings"

	"tidegate/gateway"
	"tidegate/gateway/transport"
)

const version = "13"

// agreement is the result of a handshake.
type agreement struct {
	subprotocol string // as the client wrote it; "" if none
	extension   string // the answer to the client's offer; "" if none
}

// checkUpgrade reports whether r, a GET, is a WebSocket handshake. If not, it answers the request
// with what is offered here (RFC 9110, section 15.5.22; RFC 6455, section 4.4).
func checkUpgrade(w http.ResponseWriter, r *http.Request) bool {
	header := w.Header()
	switch {
	case r.ProtoMajor > 1:
		// HTTP/2 and later forbid the headers Connection and Upgrade, which a 426 needs (RFC
		// 9113, section 8.2.2).
		transport.Refuse(w, badRequest("this is a WebSocket endpoint, for HTTP/1.1 only: connect with a WebSocket client"))
	case !r.ProtoAtLeast(1, 1) || !names(r.Header["Connection"], "upgrade") || !names(r.Header["Upgrade"], "websocket"):
		header.Set("Connection", "Upgrade")
		header.Set("Upgrade", "websocket")
		transport.RefuseAs(w, http.StatusUpgradeRequired, badRequest("this is a WebSocket endpoint: connect with a WebSocket client"))
	case r.Header.Get("Sec-Websocket-Version") != version:
		header.Set("Connection", "Upgrade")
		header.Set("Upgrade", "websocket")
		header.Set("Sec-WebSocket-Version", version)
		transport.RefuseAs(w, http.StatusUpgradeRequired, badRequest("only version 13 of the WebSocket protocol is spoken here"))
	default:
		return true
	}
	return false
}

// checkKey returns nil if the request has a valid key (RFC 6455, section 4.2.1).
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

func badRequest(message string) error {
	return &gateway.Error{Code: gateway.BadRequest, Message: message}
}

// answerOf returns the answer to a handshake (RFC 6455, section 4.2.2).
func answerOf(r *http.Request, a agreement) []byte {
	answer := make([]byte, 0, 256)
	answer = append(answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	answer = appendAcceptance(answer, strings.TrimSpace(r.Header.Get("Sec-Websocket-Key")))
	if a.subprotocol != "" {
		answer = append(append(answer, "\r\nSec-WebSocket-Protocol: "...), a.subprotocol...)
	}
	if a.extension != "" {
		answer = append(append(answer, "\r\nSec-WebSocket-Extensions: "...), a.extension...)
	}
	return append(answer, "\r\n\r\n"...)
}

// appendAcceptance appends the proof that the server has understood the handshake.
func appendAcceptance(b []byte, key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.AppendEncode(b, sum[:])
}

// choose returns the first of our subprotocols that the client offers, or "". It keeps the
// client's spelling, because the client compares the answer with its offer.
func choose(ours []string, offers []string) string {
	for _, subprotocol := range ours {
		if offered := find(offers, subprotocol); offered != "" {
			return offered
		}
	}
	return ""
}

// names reports whether the values of a header, which are comma-separated lists, contain
// token.
func names(values []string, token string) bool { return find(values, token) != "" }

// find returns token as it is spelled in the values of a header, which are comma-separated
// lists, or "" if they do not contain it. Case is ignored.
func find(values []string, token string) string {
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); strings.EqualFold(item, token) {
				return item
			}
		}
	}
	return ""
}
