package transport

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"testing"

	"tidegate/gateway"
)

// reading returns a connection after its handshake, and its peer.
func reading(t testing.TB) (*webSocketConn, *rawPeer) {
	n := startNode(t, gateway.Config{})
	conns := make(chan *webSocketConn, 1)
	n.mux.HandleFunc("/bare", func(w http.ResponseWriter, r *http.Request) {
		c, err := n.webSocket.accept(w, r, nil, "")
		if err != nil {
			t.Error(err)
		}
		c.wire.answer()
		conns <- c
	})
	r := n.dialRaw()
	r.send("GET /bare" + handshake[len("GET /ws"):])
	r.expectStatus()
	c := <-conns
	t.Cleanup(func() { c.wire.out.abort(); c.parser.peer.CloseNow() })
	return c, r
}

func TestWebSocketConn_ReadAllocatesNothing(t *testing.T) {
	c, r := reading(t)
	frame := []byte(masked(final|opText, string(make([]byte, 100))))
	got := testing.AllocsPerRun(200, func() {
		r.Write(frame)
		if _, err := c.Read(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
	if got > 0 {
		t.Errorf("a read allocates %v times", got)
	}
}

// BenchmarkWebSocketConn_Read reads messages that come in bursts, and one by one.
func BenchmarkWebSocketConn_Read(b *testing.B) {
	for name, burst := range map[string]int{"alone": 1, "burst": 64} {
		b.Run(name, func(b *testing.B) {
			c, r := reading(b)
			done := make(chan struct{})
			frame := masked(final|opText, string(make([]byte, 128)))
			turn := make(chan struct{}, 1)
			go func() {
				defer close(done)
				w := bufio.NewWriterSize(r, 1<<16)
				for range turn {
					for range burst {
						io.WriteString(w, frame)
					}
					if w.Flush() != nil {
						return
					}
				}
			}()
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				if i%burst == 0 {
					turn <- struct{}{}
				}
				if _, err := c.Read(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			close(turn)
			<-done
		})
	}
}
