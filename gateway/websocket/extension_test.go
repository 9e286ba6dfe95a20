package websocket

import (
	"net/http"
	"strings"
	"testing"

	"tidegate/gateway"
)

// The offers are those of browsers and libraries, and those that RFC 7692, section 7.1,
// treats.
func TestExtension_AnswersOffers(t *testing.T) {
	const accepted = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for _, offer := range []struct {
		header []string
		answer string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"permessage-deflate"}, accepted},                                                         // Firefox
		{[]string{"permessage-deflate; client_max_window_bits"}, accepted},                                 // Chromium, Node's ws
		{[]string{"permessage-deflate; client_no_context_takeover; server_no_context_takeover"}, accepted}, // coder/websocket
		{[]string{"permessage-deflate;client_max_window_bits=8 ; server_max_window_bits = 15"}, accepted + "; server_max_window_bits=15"},
		{[]string{`permessage-deflate; server_max_window_bits="15"`}, accepted + "; server_max_window_bits=15"},
		{[]string{"x-webkit-deflate-frame, permessage-deflate"}, accepted},
		{[]string{"x-webkit-deflate-frame", "permessage-deflate"}, accepted},
		{[]string{"permessage-deflate; server_max_window_bits=10, permessage-deflate"}, accepted},
		{[]string{"permessage-deflate; mystery, permessage-deflate; client_max_window_bits=15"}, accepted},
		{[]string{`mystery; a="x, permessage-deflate; y\", permessage-deflate", permessage-deflate`}, accepted},

		{[]string{"permessage-deflate; server_max_window_bits=14"}, ""},
		{[]string{"permessage-deflate; server_max_window_bits"}, ""},
		{[]string{"permessage-deflate; server_max_window_bits=16"}, ""},
		{[]string{"permessage-deflate; server_max_window_bits=015"}, ""},
		{[]string{"permessage-deflate; client_max_window_bits=7"}, ""},
		{[]string{"permessage-deflate; client_max_window_bits=16"}, ""},
		{[]string{"permessage-deflate; client_max_window_bits=09"}, ""},
		{[]string{"permessage-deflate; client_max_window_bits=+9"}, ""},
		{[]string{"permessage-deflate; client_max_window_bits="}, ""},
		{[]string{"permessage-deflate; server_no_context_takeover=1"}, ""},
		{[]string{"permessage-deflate; client_no_context_takeover="}, ""},
		{[]string{"permessage-deflate; client_no_context_takeover; client_no_context_takeover"}, ""},
		{[]string{"permessage-deflate; client_max_window_bits; client_max_window_bits=9"}, ""},
		{[]string{"permessage-deflate; mystery"}, ""},
		{[]string{"permessage-deflate; mystery=1"}, ""},
		{[]string{"permessage-deflate;"}, ""},
		{[]string{"permessage-deflated"}, ""},
		{[]string{"permessage-bzip2"}, ""},
		{[]string{"Permessage-Deflate"}, ""},
		{[]string{`mystery; a="x, permessage-deflate, y"`}, ""},
	} {
		if got := answerTo(offer.header); got != offer.answer {
			t.Errorf("%q is answered with %q, want %q", offer.header, got, offer.answer)
		}
	}
}

// An answer may itself be offered, and gets the same answer.
func FuzzExtension(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits")
	f.Add(`a; b="\", permessage-deflate`)
	f.Add("permessage-deflate; server_max_window_bits=15")
	f.Fuzz(func(t *testing.T, header string) {
		answer := answerTo([]string{header})
		if answer == "" {
			return
		}
		if !strings.Contains(header, deflateExtension) || !strings.HasPrefix(answer, deflateAnswer) {
			t.Errorf("%q is answered with %q", header, answer)
		}
		if again := answerTo([]string{answer}); again != answer {
			t.Errorf("%q is answered with %q", answer, again)
		}
	})
}

func TestHandshake_AgreesOnCompressionIfItIsOn(t *testing.T) {
	n := startNode(t, gateway.Config{}).deflating()
	for path, want := range map[string]string{"/ws": "", "/deflated": deflateAnswer} {
		r := n.dialRaw()
		r.send(offering(path))
		response, err := http.ReadResponse(r.r, nil)
		must(t, err)
		if got := response.Header.Get("Sec-WebSocket-Extensions"); got != want {
			t.Errorf("%s: agreed on %q, want %q", path, got, want)
		}
		r.Conn.Close()
	}
	n.awaitSessions(0)
}
