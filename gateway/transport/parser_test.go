package transport

import (
	"context"
	"io"
	"testing"
	"time"

	"tidegate/gateway"
)

// open returns a connection as after a handshake, which may rest, and the peer's
// end.
func open(t testing.TB, all *memory) (*webSocketConn, io.Writer) {
	server, client := connect(t)
	c := &webSocketConn{limit: 1000}
	c.wire.shared = all
	c.wire.begin(server, nil)
	c.wire.restless = false
	return c, client
}

// readFrame reads a message that comes in the course of time.
func readFrame(t testing.TB, c *webSocketConn) (gateway.Frame, error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
		frame, err := c.Read(context.Background())
		if err != errSilent || time.Now().After(deadline) {
			return frame, err
		}
	}
}

func TestParser_ServesOneConnectionAfterAnother(t *testing.T) {
	all := &memory{}
	p, err := newParser(1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{
		masked(final|opText, "hello"),
		masked(opText, "hel") + masked(final|opPing, "") + masked(final, "lo"),
		masked(final|opPong, "") + masked(final|opText, "hello"),
	} {
		c, peer := open(t, all)
		c.parser = p
		p.wire.Store(&c.wire)
		if _, err := io.WriteString(peer, said); err != nil {
			t.Fatal(err)
		}
		if frame, err := readFrame(t, c); err != nil || string(frame.Data) != "hello" {
			t.Fatalf("read %q, %v", frame.Data, err)
		}
		if _, err := c.Read(context.Background()); err != errSilent {
			t.Fatalf("read on: %v, want %v", err, errSilent)
		}
		c.giveUpParser()
		if c.parser != nil || p.wire.Load() != nil {
			t.Fatal("the parser was not given up")
		}
	}
}

func TestParser_KeepsToTheLimit(t *testing.T) {
	c, peer := open(t, &memory{})
	if _, err := io.WriteString(peer, masked(final|opText, string(make([]byte, 1000)))+masked(final|opText, string(make([]byte, 1001)))); err != nil {
		t.Fatal(err)
	}
	if frame, err := readFrame(t, c); err != nil || len(frame.Data) != 1000 {
		t.Fatalf("read %d bytes, %v", len(frame.Data), err)
	}
	if _, err := readFrame(t, c); gateway.ReasonOf(err).Code != gateway.TooBig.Code {
		t.Errorf("read more than the limit: %v", err)
	}
}

// The library may still be about to close a connection that it has waited for.
func TestParser_IsNotSharedAfterAWaitInsideAFrame(t *testing.T) {
	c, peer := open(t, &memory{})
	if err := c.takeParser(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(peer, masked(final|opText, "hello")[:3]); err != nil {
		t.Fatal(err)
	}
	c.wire.Conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	if frame, err := readFrame(t, c); err == nil {
		t.Fatalf("read %q", frame.Data)
	}
	c.giveUpParser()
	if got := c.wire.shared.parsers.Get(); got != nil {
		t.Error("the parser was left to others")
	}
}
