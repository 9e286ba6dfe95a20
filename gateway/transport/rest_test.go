package transport

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
)

// dialResting returns peers whose connections have no goroutine.
func (n *node) dialResting(count int) []*rawPeer {
	n.t.Helper()
	before := runtime.NumGoroutine()
	var peers []*rawPeer
	for range count {
		r := n.dialUpgraded()
		r.send(masked(final|opText, `{"type":"subscribe","id":1,"channel":"quiet"}`))
		r.expectFrame(opText)
		peers = append(peers, r)
	}
	n.awaitThat("the connections rest", func() bool { return runtime.NumGoroutine() < before+count/2 })
	return peers
}

func (r *rawPeer) ping() {
	r.t.Helper()
	r.send(masked(final|opText, `{"type":"ping","id":7}`))
	for !strings.Contains(string(r.expectFrame(opText)), `"pong","id":7`) {
	}
}

func TestRest_ASilentConnectionHasNoGoroutine(t *testing.T) {
	n := startNode(t, gateway.Config{})
	peers := n.dialResting(50)
	n.publish("quiet", `"to all"`)
	for _, r := range peers {
		if got := r.expectFrame(opText); !strings.Contains(string(got), "to all") {
			t.Fatalf("got %s", got)
		}
		r.ping()
	}
}

func TestRest_ALivelyConnectionRestsInTheEnd(t *testing.T) {
	n := startNode(t, gateway.Config{})
	peers := n.dialResting(50)
	before := runtime.NumGoroutine()
	for range 3 * often {
		for _, r := range peers {
			r.ping()
		}
	}
	if got := runtime.NumGoroutine(); got < before+len(peers)/2 {
		t.Errorf("%d goroutines more serve %d lively connections", got-before, len(peers))
	}
	n.awaitThat("the connections rest", func() bool { return runtime.NumGoroutine() < before+len(peers)/2 })
	for _, r := range peers {
		r.ping()
	}
}

// A peer may be silent for longer than a lull inside of a frame, or between the
// frames of a message.
func TestRest_NoneBeforeAMessageHasEnded(t *testing.T) {
	frame := masked(final|opText, `{"type":"ping","id":7}`)
	fragments := masked(opText, `{"type":"ping",`) + masked(final, `"id":7}`)
	for name, parts := range map[string][2]string{
		"header":    {frame[:1], frame[1:]},
		"payload":   {frame[:10], frame[10:]},
		"fragments": {fragments[:strings.Index(fragments, ",")+1], fragments[strings.Index(fragments, ",")+1:]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNode(t, gateway.Config{Ping: lull})
			for _, lively := range []bool{false, true} {
				r := n.dialUpgraded()
				for range 3 * often {
					if lively {
						r.ping()
					}
				}
				r.send(parts[0])
				r.expectFrame(opPing)
				r.expectFrame(opPing)
				r.send(parts[1])
				for !strings.Contains(string(r.expectFrame(opText)), `"pong","id":7`) {
				}
			}
		})
	}
}

func TestRest_ACloseFindsConnectionsThatRest(t *testing.T) {
	n := startNode(t, gateway.Config{})
	peers := n.dialResting(50)
	n.stop()
	for _, r := range peers {
		r.expectCloseCode(gateway.Draining.Code)
		r.send(masked(final|opClose, "\x03\xe9"))
		r.expectEnd()
	}
}

func TestRest_APeerThatVanishesIsNoticed(t *testing.T) {
	n := startNode(t, gateway.Config{})
	for i, r := range n.dialResting(50) {
		if i%2 == 0 {
			r.Conn.(*net.TCPConn).SetLinger(0)
		}
		r.Conn.Close()
	}
	n.awaitSessions(0)
}

// Peers speak, leave and are closed all at once, while their connections go to
// rest and wake up.
func TestRest_CloseAndSpeechMayMeet(t *testing.T) {
	n := startNode(t, gateway.Config{DrainWindow: time.Millisecond})
	peers := n.dialResting(200)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, r := range peers {
			fmt.Fprint(r, masked(final|opText, `{"type":"ping","id":7}`))
		}
	}()
	n.stop()
	<-done
	for _, r := range peers {
		r.expectCloseCode(gateway.Draining.Code)
		r.Conn.Close()
	}
	n.awaitSessions(0)
}

func TestRest_ConnectionsSurviveTheirPoller(t *testing.T) {
	n := startNode(t, gateway.Config{})
	peers := n.dialResting(10)
	n.webSocket.polling.Do(func() {}) // it was set by another goroutine
	n.webSocket.poller.close()
	for _, r := range peers {
		r.ping()
	}
}

func TestPoller_WatchesNothingOnceItIsClosed(t *testing.T) {
	p := newPoller(nil)
	if p == nil {
		t.Fatal("there is no poller")
	}
	p.close()
	server, _ := connect(t)
	c := &webSocketConn{}
	c.wire.shared = &memory{}
	c.wire.begin(server, nil)
	if p.watch(c) {
		t.Error("a poller that was closed watches")
	}
	if p.release(c) {
		t.Error("a connection was watched")
	}
}
