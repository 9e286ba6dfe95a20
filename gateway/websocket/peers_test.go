package websocket

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
)

func TestWebSocket_ReadsWhatCameWithTheHandshake(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		r := n.dialRaw()
		r.send(handshake + masked(final|opText, `{"type":"ping","id":7}`) + masked(final|opPing, "early"))
		r.expectStatus()
		for waiting := 2; waiting > 0; {
			switch first, data, err := r.readFrame(); {
			case err != nil:
				t.Fatal(err)
			case first == final|opPong && string(data) == "early", strings.Contains(string(data), `"pong"`):
				waiting--
			}
		}
	})
}

func TestWebSocket_ReadsAHandshakeThatEndsInsideAFrame(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		frame := masked(final|opText, `{"type":"ping","id":7}`)
		for cut := 1; cut < len(frame); cut += 5 {
			r := n.dialRaw()
			r.send(handshake + frame[:cut])
			r.expectStatus()
			r.send(frame[cut:])
			for !strings.Contains(string(r.expectFrame(opText)), `"pong"`) {
			}
		}
	})
}

func TestWebSocket_ProtocolErrorsEndInOrder(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		for name, bytes := range map[string]string{
			"reserved bits":             masked(final|0x40|opText, "x"),
			"unknown opcode":            masked(final|0x3, "x"),
			"not masked":                string([]byte{final | opText, 1, 'x'}),
			"continuation from nowhere": masked(final, "x"),
			"message inside a message":  masked(opText, "x") + masked(final|opText, "x"),
			"fragmented ping":           masked(opPing, "x"),
			"long ping":                 masked(final|opPing, strings.Repeat("x", 126)),
			"close code":                masked(final|opClose, "\x03\xed"),
		} {
			t.Run(name, func(t *testing.T) {
				n := *n
				n.t = t
				r := n.dialUpgraded()
				r.send(bytes)
				r.expectCloseCode(1002)
				r.send(masked(final|opText, "still here"))
				r.Conn.(*net.TCPConn).CloseWrite()
				r.expectEnd()
			})
		}
		n.awaitSessions(0)
	})
}

func TestWebSocket_AnswersAClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		for code, want := range map[string]int{"\x03\xe9": 1001, "\x0f\xa0bye": 4000} {
			r := n.dialUpgraded()
			r.send(masked(final|opClose, code))
			r.expectCloseCode(want)
			r.expectEnd()
		}
		r := n.dialUpgraded()
		r.send(masked(final|opClose, ""))
		if got := r.expectFrame(opClose); len(got) != 0 {
			t.Errorf("a close without a code was answered with %q", got)
		}
		r.expectEnd()
		n.awaitSessions(0)
	})
}

func TestWebSocket_APeerThatVanishesEndsTheSession(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		reset, half := n.dialUpgraded(), n.dialUpgraded()
		n.awaitSessions(2)
		reset.Conn.(*net.TCPConn).SetLinger(0)
		reset.Conn.Close()
		half.Conn.(*net.TCPConn).CloseWrite()
		n.awaitSessions(0)
	})
}

// A peer that does not answer a close frame delays nothing for long.
func TestWebSocket_DoesNotWaitForAnAnswerForLong(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		r := n.dialUpgraded()
		r.send(masked(final|opBinary, "x"))
		r.expectCloseCode(1003)
		began := time.Now()
		r.expectEnd()
		if took := time.Since(began); took > 5*lingerPatience {
			t.Errorf("the connection was closed %v after the close frame", took)
		}
	})
}

func TestWebSocket_FragmentsMakeOneMessage(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		r := n.dialUpgraded()
		r.send(masked(opText, `{"type":"pi`) + masked(final|opPing, "between") + masked(0, `ng","id"`) + masked(final, `:7}`))
		if got := r.expectFrame(opPong); string(got) != "between" {
			t.Errorf("pong %q", got)
		}
		if got := r.expectFrame(opText); !strings.Contains(string(got), `"pong","id":7`) {
			t.Errorf("answer %s", got)
		}
	})
}

// A peer whose message does not end is given up, whatever else it sends.
func TestWebSocket_AMessageThatNeverEndsIsNoSignOfLife(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{Ping: time.Second})
		r := n.dialUpgraded()
		r.send(masked(opText, "{"))
		done := make(chan struct{})
		defer func() { r.Conn.Close(); <-done }()
		go func() {
			defer close(done)
			for range time.Tick(20 * time.Millisecond) {
				if _, err := io.WriteString(r, masked(0, " ")+masked(final|opPong, "")); err != nil {
					return
				}
			}
		}()
		r.expectCloseCode(gateway.TimedOut.Code)
		n.awaitSessions(0)
	})
}

// Pongs alone keep the session of a silent peer alive.
func TestWebSocket_PongsAreSignsOfLife(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{Ping: time.Second})
		r := n.dialUpgraded()
		for range 5 {
			r.expectFrame(opPing)
			r.send(masked(final|opPong, ""))
		}
		n.awaitSessions(1)
	})
}

func TestWebSocket_APeerThatDoesNotReadIsClosed(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		for _, pinging := range []string{"", masked(final|opPing, "are you there?")} {
			t.Run(fmt.Sprintf("pinging=%v", pinging != ""), func(t *testing.T) {
				limits := gateway.DefaultLimits()
				limits.OutboxBytes = 256 << 10
				n := start(t, gateway.Config{Limits: limits})
				r := n.dialUpgraded()
				r.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
				r.send(masked(final|opText, `{"type":"subscribe","id":1,"channel":"flood"}`))
				r.expectFrame(opText)
				payload := fmt.Sprintf("%q", strings.Repeat("x", 10_000))
				n.awaitThat("the session is closed", func() bool {
					n.publish("flood", payload)
					io.WriteString(r, pinging)
					return n.sessions() == 0
				})
				// When the peer reads at last, it must find whole frames: no control frame
				// is inside another frame.
				for {
					first, data, err := r.readFrame()
					if err != nil {
						return
					}
					checkFrame(t, first, data)
					if first == final|opClose {
						return
					}
				}
			})
		}
	})
}

func checkFrame(t *testing.T, first byte, data []byte) {
	t.Helper()
	switch first {
	case final | opText:
		if !strings.HasPrefix(string(data), "{") || !strings.HasSuffix(string(data), "}") {
			t.Fatalf("text frame %.60q...", data)
		}
	case final | opPong:
		if string(data) != "are you there?" {
			t.Fatalf("pong %q", data)
		}
	case final | opClose:
	default:
		t.Fatalf("frame begins with %#x", first)
	}
}
