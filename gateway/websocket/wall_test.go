package websocket

import (
	"bufio"
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/wall"
	"tidegate/gateway/native"

	coder "github.com/coder/websocket"
)

// An inflater that panics represents any bug in the code that reads a client's frames.
func TestWall_APanicWhileReadingEndsThatSessionOnly(t *testing.T) {
	n, log := startLogged(t)
	broken := NewDeflate(0)
	broken.inflaters = newStock(1, func() *inflater { panic("boom") })
	n.webSocket.Deflate = broken
	bad, good := n.dialAt("/ws", coder.CompressionNoContextTakeover), n.dial(nil)
	bad.expect("welcome")
	good.expect("welcome")
	bad.say(`%s{"type":"ping"}`, strings.Repeat(" ", 1000))
	if got := bad.expectClose(); got.Code != 1011 {
		t.Errorf("closed with %v, want 1011", got)
	}
	good.say(`{"type":"ping","id":1}`)
	good.expect("pong")
	n.awaitSessions(1)
	n.expectPanic(log, "boom", "inflate")
}

// A missing library connection represents any bug in the library.
func TestWall_APanicOfTheLibraryEndsThatSessionOnly(t *testing.T) {
	n, log := startLogged(t)
	session, err := n.Open(t.Context(), gateway.Hello{Protocol: Framed(native.Protocol{}), Transport: "websocket"})
	must(t, err)
	server, client := connect(t)
	n.webSocket.starting.Do(n.webSocket.start)
	e := n.webSocket.portable.(*portable)
	c := &portableConn{link: link{sender: sender{shared: e.shared, out: newRelay(server, e.shared.wall)}, session: session}, conn: server, said: make(chan struct{})}
	e.add(c)
	session.Attach(c)
	go e.serve(c)
	client.SetDeadline(time.Now().Add(patience))
	r := &rawPeer{client, t, bufio.NewReader(client)}
	r.expectCloseCode(1011)
	r.expectEnd()
	n.awaitSessions(0)
	n.expectPanic(log, "nil pointer", "receive")
}

func startLogged(t *testing.T) (*node, *bytes.Buffer) {
	log := &bytes.Buffer{}
	return startNode(t, gateway.Config{Log: slog.New(slog.NewTextHandler(log, nil))}), log
}

// expectPanic stops the node, and checks that exactly one panic was counted and logged.
func (n *node) expectPanic(log *bytes.Buffer, words ...string) {
	n.t.Helper()
	n.stop()
	if got := n.metric("tidegate_panics_total"); got != 1 {
		n.t.Errorf("%v panics are counted", got)
	}
	for _, word := range words {
		if !strings.Contains(log.String(), word) {
			n.t.Errorf("the panic and its stack are not logged: %s", log)
		}
	}
}

// metric returns the value of a metric without labels.
func (n *node) metric(name string) float64 {
	n.t.Helper()
	families, err := n.metrics.Gatherer().Gather()
	must(n.t, err)
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	n.t.Fatalf("there is no %s", name)
	return 0
}

// fragile panics on every write.
type fragile struct{ net.Conn }

func (fragile) Write([]byte) (int, error) { panic("boom") }

func TestWall_APanicWhileWritingEndsTheConnection(t *testing.T) {
	server, _ := connect(t)
	counted := make(chan struct{}, 1)
	w := &sender{shared: &shared{}}
	w.out = newRelay(fragile{server}, &wall.Wall{Log: slog.New(slog.DiscardHandler), Count: func() { counted <- struct{}{} }})
	if _, err := w.Write([][]byte{[]byte("x")}, 0); err != nil {
		t.Fatal(err)
	}
	<-counted
	if err := w.out.await(time.Now().Add(patience)); err == nil {
		t.Error("the connection can be written to after a panic")
	}
}
