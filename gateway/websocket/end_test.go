package websocket

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
)

// A browser reports the end when it has seen the end of the stream. That must not wait until
// the gateway gives up on an answer.
func TestEnd_AFailedConnectionIsHalfClosedAtOnce(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		for name, breach := range map[string]struct {
			said string
			code int
		}{
			"1002": {masked(final|0x3, "x"), 1002},
			"1003": {masked(final|opBinary, "x"), 1003},
			"1007": {masked(final|opText, "\xff"), 1007},
			"1009": {masked(opText, strings.Repeat("x", 60_000)) + strings.Repeat(masked(0, strings.Repeat("x", 60_000)), 3), 1009},
		} {
			r := n.dialUpgraded()
			r.send(breach.said)
			r.expectCloseCode(breach.code)
			began := time.Now()
			r.expectEnd()
			if took := time.Since(began); took > lingerPatience/2 {
				t.Errorf("%s: the stream ended %v after the close frame", name, took)
			}
			r.Conn.Close()
		}
	})
}

// Peers that do not answer do not delay a node that stops.
func TestEnd_SilentPeersDoNotHoldUpADrain(t *testing.T) {
	eachEngineAndTLS(t, func(t *testing.T, start starter) {
		const window = 100 * time.Millisecond
		n := start(t, gateway.Config{DrainWindow: window})
		for range 5 {
			if n.server.TLS == nil {
				n.dialUpgraded()
			}
			n.dial(nil).expect("welcome") // then it stops reading
		}
		began := time.Now()
		if err := n.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		n.stop()
		n.webSocket.Wait()
		if took := time.Since(began); took > window+3*time.Second {
			t.Errorf("the node has ended %v after the drain began; the window is %v", took, window)
		}
	})
}

// HTTP/2 forbids the headers that request a WebSocket.
func TestHandshake_OverHTTP2GetsAnAnswerThatItAllows(t *testing.T) {
	n := newNode(t, gateway.Config{})
	n.server = httptest.NewUnstartedServer(n.mux)
	n.server.EnableHTTP2 = true
	n.server.StartTLS()
	response, err := n.server.Client().Get(n.server.URL + "/ws")
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.ProtoMajor != 2 || response.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "HTTP/1.1") {
		t.Errorf("%s %s: %s, %v", response.Proto, response.Status, body, err)
	}
	for _, forbidden := range []string{"Connection", "Upgrade"} {
		if got := response.Header.Get(forbidden); got != "" {
			t.Errorf("%s: %s", forbidden, got)
		}
	}
}

// However many messages are unfinished, their memory is bounded, and is freed.
func TestUnfinished_MessagesShareOneBound(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		const bound = 256 << 10
		limits := gateway.DefaultLimits()
		limits.CommandsPerSecond, limits.InboundBytes = 0, bound
		n := start(t, gateway.Config{Limits: limits})
		var peers []*rawPeer
		for range 30 {
			r := n.dialUpgraded()
			r.send(masked(opText, strings.Repeat("x", 20<<10)))
			peers = append(peers, r)
		}
		n.awaitThat("some are refused", func() bool { return n.sessions() <= bound/(20<<10) })
		refused := 0
		for _, r := range peers {
			r.Conn.SetReadDeadline(time.Now().Add(time.Second / 2))
			if first, payload, err := r.readFrame(); err == nil && first == final|opClose {
				refused++
				if code := int(payload[0])<<8 | int(payload[1]); code != 1013 || !strings.Contains(string(payload), "inbound_bytes") {
					t.Errorf("refused with %d %q, want 1013 and why", code, payload[2:])
				}
			}
			r.Conn.Close()
		}
		if refused == 0 || refused == len(peers) {
			t.Errorf("%d of %d were refused", refused, len(peers))
		}
		n.awaitThat("nothing is held when all have left", func() bool {
			return n.Budget.Hold(n.Budget.Payer(&gateway.Principal{Key: "backend"}, ""), bound) == nil
		})
	})
}

// If one address begins as many messages as it may, clients at other addresses can still
// send.
func TestUnfinished_OneAddressLeavesRoomForOthers(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		limits := gateway.DefaultLimits()
		limits.InboundBytes, limits.InboundBytesPerIP = 1<<20, 256<<10
		n := start(t, gateway.Config{Limits: limits})
		dial := func(from string) *rawPeer {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			conn, err := dialer.DialContext(t.Context(), "tcp", n.server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			conn.SetDeadline(time.Now().Add(patience))
			r := &rawPeer{conn, t, bufio.NewReader(conn)}
			r.send(handshake)
			r.expectStatus()
			r.expectFrame(opText)
			return r
		}
		for range 50 {
			dial("127.0.0.2").send(masked(opText, strings.Repeat("x", 60_000)))
		}
		n.awaitThat("most of them are refused", func() bool { return n.sessions() <= limits.InboundBytesPerIP/60_000 })
		other := dial("127.0.0.3")
		other.send(masked(final|opText, `{"type":"publish","id":1,"channel":"chat","text":"`+strings.Repeat("x", 50_000)+`"}`))
		if said := string(other.expectFrame(opText)); !strings.Contains(said, `"published"`) {
			t.Errorf("another client is told %s", said)
		}
	})
}

// Pings cost their client nothing, so each pong must not cost the node a write.
func TestPing_ManyAtOnceAreAnsweredByFewPongs(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		r := start(t, gateway.Config{}).dialUpgraded()
		pings := strings.Repeat(masked(final|opPing, ""), 600)
		r.send(pings + masked(final|opPing, "last") + masked(final|opText, `{"type":"ping"}`) + masked(final|opPing, "after"))
		var pongs []string
		for len(pongs) == 0 || pongs[len(pongs)-1] != "after" {
			first, payload, err := r.readFrame()
			must(t, err)
			if first == final|opPong {
				pongs = append(pongs, string(payload))
			}
		}
		if n := len(pongs); n > 100 || n < 2 || pongs[n-2] != "last" {
			t.Errorf("%d pongs, at last %q", n, pongs[max(0, n-3):])
		}
	})
}

// They are no commands, which have a rate, and must not keep a processor busy for nothing.
func TestPing_ClientsThatSendNothingElseAreReadSlowly(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		r := start(t, gateway.Config{}).dialUpgraded()
		const pauses = 30
		began := time.Now()
		r.send(strings.Repeat(masked(final|opPong, "")+masked(final|opPing, "x"), pauses*pausedControls/2) + masked(final|opText, `{"type":"ping","id":7}`))
		for first := byte(0); first != final|opText; {
			var err error
			first, _, err = r.readFrame()
			must(t, err)
		}
		if took := time.Since(began); took < pauses*controlPause {
			t.Errorf("%d control frames were read in %v", pauses*pausedControls, took)
		}
	})
}
