package transport

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/wall"

	"github.com/coder/websocket"
)

// An inflater that panics stands for any mistake in what reads a client's frames.
func TestWall_APanicWhileReadingEndsThatSessionOnly(t *testing.T) {
	eachReaderAndTLS(t, func(t *testing.T, start starter) {
		var log bytes.Buffer
		n := start(t, gateway.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		broken := NewDeflate(0)
		broken.inflaters = newStock(1, func() *inflater { panic("boom") })
		n.webSocket.Deflate = broken
		bad, good := n.dialAt("/ws", websocket.CompressionNoContextTakeover), n.dial(nil)
		bad.expect("welcome")
		good.expect("welcome")
		bad.say(`%s{"type":"ping"}`, strings.Repeat(" ", 1000))
		if got := bad.expectClose(); got.Code != 1011 {
			t.Errorf("closed with %v, want 1011", got)
		}
		good.say(`{"type":"ping","id":1}`)
		good.expect("pong")
		n.awaitSessions(1)
		if got := n.metric("tidegate_panics_total"); got != 1 {
			t.Errorf("%v panics are counted", got)
		}
		n.stop()
		if !strings.Contains(log.String(), "boom") || !strings.Contains(log.String(), "inflate") {
			t.Errorf("the panic and its stack are not logged: %s", &log)
		}
	})
}

// metric returns the value of a metric without labels.
func (n *node) metric(name string) float64 {
	n.t.Helper()
	families, err := n.metrics.Gatherer().Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	n.t.Fatalf("there is no %s", name)
	return 0
}

// fragile panics when it is written to.
type fragile struct{ net.Conn }

func (fragile) Write([]byte) (int, error) { panic("boom") }

func TestWall_APanicWhileWritingEndsTheConnection(t *testing.T) {
	server, _ := connect(t)
	counted := make(chan struct{}, 1)
	w := &wire{shared: &memory{wall: &wall.Wall{Log: slog.New(slog.DiscardHandler), Count: func() { counted <- struct{}{} }}}}
	w.begin(fragile{server}, nil)
	if _, err := w.send([][]byte{[]byte("x")}, 0); err != nil {
		t.Fatal(err)
	}
	<-counted
	if err := w.out.await(time.Now().Add(patience)); err == nil {
		t.Error("the connection can be written to after a panic")
	}
}
