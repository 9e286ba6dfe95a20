package transport

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
)

// deafClient is the response to a client that reads nothing until it is told to.
type deafClient struct {
	http.ResponseWriter // nil
	reads               chan struct{}
	read                bytes.Buffer // only for Run until that has returned
}

func newDeafClient() *deafClient { return &deafClient{reads: make(chan struct{})} }

func (c *deafClient) Write(p []byte) (int, error) {
	<-c.reads
	return c.read.Write(p)
}

func (c *deafClient) Flush()                           {}
func (c *deafClient) SetWriteDeadline(time.Time) error { return nil }

func (p *Pump) holds() (bytes, capacity int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held, cap(p.waiting)
}

// pumped is a pump with frames to write and the expected result.
type pumped struct {
	pump   *Pump
	frames [][]byte
	want   string // all that the client must read
	cursor int    // bytes that the pump may hold beyond PumpBytes
}

func plainPump(c *deafClient) pumped {
	p := pumped{pump: NewPump(c, func(r gateway.Reason) []byte { return []byte("end") })}
	for _, n := range []int{1, PumpBytes - 1, PumpBytes, 1, 5 * PumpBytes, 10} {
		frame := strings.Repeat(string(rune('a'+n%26)), n)
		p.frames, p.want = append(p.frames, []byte(frame)), p.want+frame
	}
	p.want += "end"
	return p
}

func ssePump(t *testing.T, c *deafClient) pumped {
	at, err := parseCursors([]string{"c"}, "")
	must(t, err)
	s := newStream(c, at)
	p := pumped{pump: &s.Pump, cursor: 100}
	protocol := notices{form: payloadEvents}
	for i, n := range []int{1, 5 * PumpBytes, 0, PumpBytes} {
		data := strings.Repeat("x", n)
		m := &broker.Message{Channel: "c", Payload: []byte(data), Kind: broker.Text, Position: broker.Position{Epoch: "e", Offset: uint64(i + 1)}}
		frame, err := protocol.Encode(gateway.Message{Message: m})
		must(t, err)
		before := s.cursors.append(nil)
		s.cursors.note(parseNotice(frame.Data))
		p.want += "data: " + data + "\nid: " + string(s.cursors.append(nil)) + "\n\n"
		if string(before) == string(s.cursors.append(nil)) {
			t.Fatal("the cursor stays")
		}
		p.frames = append(p.frames, frame.Data)
	}
	if s.cursors, err = parseCursors([]string{"c"}, ""); err != nil {
		t.Fatal(err)
	}
	p.want += ": over\n\n"
	return p
}

func TestPump_HoldsAFewBytesAndLosesNone(t *testing.T) {
	for name, create := range map[string]func(*deafClient) pumped{
		"frames as they are": plainPump,
		"Server-Sent Events": func(c *deafClient) pumped { return ssePump(t, c) },
	} {
		t.Run(name, func(t *testing.T) {
			client := newDeafClient()
			p := create(client)
			ended, given := make(chan error, 1), bytes.Join(p.frames, nil)
			go func() { ended <- p.pump.Run(t.Context()) }()
			for left, wait := p.frames, time.Duration(0); len(left) > 0; wait = 10 * time.Second {
				var err error
				if left, err = p.pump.Write(left, wait); err != nil {
					t.Fatal(err)
				}
				if held, capacity := p.pump.holds(); held > PumpBytes+p.cursor || capacity > 2*(PumpBytes+p.cursor) {
					t.Fatalf("it holds %d bytes in %d", held, capacity)
				}
				if wait == 0 {
					close(client.reads)
				}
			}
			p.pump.Close(gateway.Disconnected.With("over"), nil)
			if err := <-ended; !errors.Is(err, errEnded) {
				t.Error(err)
			}
			if got := client.read.String(); got != p.want {
				t.Errorf("the client reads %d bytes, want %d: %.60q", len(got), len(p.want), got)
			}
			if !bytes.Equal(bytes.Join(p.frames, nil), given) {
				t.Error("the frames, which others are sent too, have changed")
			}
		})
	}
}

// Nothing may follow an incomplete frame, or the client would take it for a complete event.
// A time with a monotonic part is not moved by a step of the clock, which would otherwise
// pass for a silence and end all sessions at once.
func TestPump_WhenItWasHeardDoesNotDependOnTheClock(t *testing.T) {
	p := NewPump(newDeafClient(), nil)
	if heard := p.Heard(); heard == heard.Round(0) || time.Since(heard) > time.Minute {
		t.Errorf("heard %v: want a time of now with a monotonic part", heard)
	}
}

func TestPump_NothingFollowsHalfAFrame(t *testing.T) {
	client := newDeafClient()
	close(client.reads)
	p := ssePump(t, client)
	left, err := p.pump.Write(p.frames, 0)
	if err != nil || len(left) == 0 {
		t.Fatal(len(left), err)
	}
	p.pump.Close(gateway.SlowConsumer, left[0])
	if err := p.pump.Run(t.Context()); !errors.Is(err, errEnded) {
		t.Error(err)
	}
	if got := client.read.String(); !strings.HasPrefix(p.want, got) || strings.HasSuffix(got, "\n") {
		t.Errorf("the client reads …%.40q", got[max(0, len(got)-40):])
	}
}
