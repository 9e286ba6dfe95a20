package websocket

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

// A connection also rests within a frame, and between the frames of a message.
func TestRest_AMessageMayTakeItsTime(t *testing.T) {
	frame := masked(final|opText, `{"type":"ping","id":7}`)
	fragments := masked(opText, `{"type":"ping",`) + masked(final, `"id":7}`)
	for name, parts := range map[string][2]string{
		"header":    {frame[:1], frame[1:]},
		"payload":   {frame[:10], frame[10:]},
		"fragments": {fragments[:strings.Index(fragments, ",")+1], fragments[strings.Index(fragments, ",")+1:]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNode(t, gateway.Config{Ping: 2 * time.Second})
			r := n.dialResting(20)[0]
			r.send(parts[0])
			r.expectFrame(opPing)
			r.send(parts[1])
			for !strings.Contains(string(r.expectFrame(opText)), `"pong","id":7`) {
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

// Connections that linger must not exceed the limit on sessions by more than fewLinger.
// Otherwise a peer that reconnects again and again would use up all file descriptors.
func TestLinger_NoMoreThanThereAreSessions(t *testing.T) {
	const sessions = 5
	limits := gateway.DefaultLimits()
	limits.Sessions = sessions
	n := startNode(t, gateway.Config{Limits: limits})
	stay := n.dialUpgraded()
	n.webSocket.starting.Do(n.webSocket.start)
	queue := &n.webSocket.epoll.(*epoll).lingering
	for range 60 {
		r := n.dialUpgraded()
		r.send(masked(final|0x3, "x"))
		r.expectCloseCode(1002)
		queue.mu.Lock()
		if linger := len(queue.queue); linger > sessions+fewLinger {
			t.Errorf("%d connections linger, want %d at most", linger, sessions+fewLinger)
		}
		queue.mu.Unlock()
	}
	n.awaitSessions(1)
	stay.send(masked(final|opText, `{"type":"ping","id":7}`))
	for !strings.Contains(string(stay.expectFrame(opText)), `"pong","id":7`) {
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

// Peers send, leave and are closed all at the same time, while their connections come to
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

// watched returns the number of connections in the poller.
func (n *node) watched() int {
	n.webSocket.starting.Do(func() {}) // synchronizes with the goroutine that called start
	p := n.webSocket.epoll.(*epoll).poller
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.watched) - len(p.free)
}

// The connection is closed once the peer has answered, even if the peer does not close it.
func TestEnd_ThePeersAnswerEndsTheConnection(t *testing.T) {
	for name, said := range map[string]string{
		"the rules of a frame":   masked(final|0x3, "x"),
		"the rules of a message": masked(final|opText, "\xff"),
		"the session's":          masked(final|opBinary, "x"),
	} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t, gateway.Config{})
			r := n.dialUpgraded()
			r.send(said)
			r.expectFrame(opClose)
			began := time.Now()
			r.send(masked(final|opClose, "\x03\xea"))
			n.awaitThat("there is no connection", func() bool { return n.watched() == 0 })
			if took := time.Since(began); took > lingerPatience/2 {
				t.Errorf("the connection was closed %v after the answer", took)
			}
		})
	}
}
