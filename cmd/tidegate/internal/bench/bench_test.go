package bench

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBenchmark_TheSenseOfItsFlags(t *testing.T) {
	for _, b := range []benchmark{
		&load{channels: 1, members: 30_000, traffic: traffic{publishers: 1, inFlight: 1, payload: 128, duration: time.Second}},
		&load{channels: 0, members: 1, traffic: traffic{publishers: 1, inFlight: 1, payload: 128, duration: time.Second}},
		&load{channels: -2, members: -3, traffic: traffic{publishers: 1, inFlight: 1, payload: 128, duration: time.Second}},
		&load{channels: 1, members: 1, traffic: traffic{publishers: 1, inFlight: 0, payload: 128, duration: time.Second}},
		&load{channels: 1, members: 1, traffic: traffic{publishers: 1, inFlight: 1, payload: leastPayload - 1, duration: time.Second}},
		&load{channels: 1, members: 1, traffic: traffic{publishers: 1, inFlight: 1, rate: -1, payload: 128, duration: time.Second}},
		&load{channels: 1, members: 1, traffic: traffic{publishers: 1, inFlight: 1, payload: 128, duration: time.Hour}},
		&load{channels: 1, members: 1, traffic: traffic{publishers: 1, inFlight: -1, rate: 1, payload: 128, duration: time.Second}},
		&idleLoad{connectLoad: connectLoad{count: 0, atOnce: 1}, duration: time.Second},
		&publishLoad{channels: 0, traffic: traffic{publishers: 1, inFlight: 1, payload: 128, duration: time.Second}},
	} {
		if b.check() == nil {
			t.Errorf("%+v is accepted", b)
		}
	}
}

func TestListener_CountsWhatIsMissingAndWhatIsRepeated(t *testing.T) {
	l := &listener{window: newWindow(1, 2), latency: newLatencyRecorder()}
	hear := func(number uint64) {
		text := native.publish("bench:x:0", 128)
		publication{number: number, slot: noSlot, due: 5}.put(text[digitsAt(text):])
		l.note(text, 12)
	}
	for _, number := range []uint64{1, 2, 5, 5, 4, 6} {
		hear(number)
	}
	l.note([]byte(`{"type":"gap","channel":"bench:x:0"}`), 12)
	if l.received.Load() != 4 || l.missed.Load() != 2 || l.repeated.Load() != 2 {
		t.Errorf("received %d, missed %d, repeated %d; want 4, 2, 2", l.received.Load(), l.missed.Load(), l.repeated.Load())
	}
	if l.arrived[0] != 7 {
		t.Errorf("latency %v, want 7ns", l.arrived[0])
	}
}

// Servers may put several messages into one frame, and a message into a JSON string.
func TestListener_FindsAllPublicationsOfAFrame(t *testing.T) {
	escaped := &adapter{Publish: `{"event":"said","data":{string}}`}
	var frame []byte
	for number := range uint64(3) {
		text := escaped.publish("bench:x:0", 200)
		publication{number: number + 1, slot: noSlot}.put(text[digitsAt(text):])
		frame = append(append(frame, text...), '\n')
	}
	l := &listener{window: newWindow(1, 1), latency: newLatencyRecorder()}
	l.note(frame, 1)
	if l.received.Load() != 3 || l.missed.Load() != 0 || l.repeated.Load() != 0 {
		t.Errorf("received %d, missed %d, repeated %d; want 3, 0, 0", l.received.Load(), l.missed.Load(), l.repeated.Load())
	}
}

func TestAdapter_SaysWhatIsWrong(t *testing.T) {
	for _, name := range adapterNames() {
		if _, err := loadAdapter(name); err != nil {
			t.Error(err)
		}
	}
	for text, want := range map[string]string{
		"path: /": "publish: there is no frame",
		"{path: /, subscribe: s, subscribed: ok, publish: hello}": "neither {data} nor {string}",
		"{path: /, publish: '{data}'}":                            "path does not name the {channel}",
		"{path: /, subscribe: s, publish: '{data}'}":              "subscribed: ",
		"{path: '/{channel}', publish: '{data}', wanted: x}":      "wanted",
		"{path: '/{channel}', publish: ['{data}']}":               "unmarshal",
	} {
		file := filepath.Join(t.TempDir(), "a.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadAdapter(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestAdapter_APathOfTheURLTakesThePlaceOfItsOwn(t *testing.T) {
	byFrame := &adapter{Path: "/own", PublishPath: "/pub"}
	byPath := &adapter{Path: "/sub?channel={channel}", PublishPath: "/pub?channel={channel}"}
	for _, c := range []struct {
		a         *adapter
		given     string
		publishes bool
		want      string // empty if an error is expected
	}{
		{byFrame, "ws://h", false, "ws://h/own"},
		{byFrame, "ws://h/", true, "ws://h/pub"},
		{byFrame, "ws://h/a?b=c", true, "ws://h/a?b=c"},
		{byPath, "ws://h", true, "ws://h/pub?channel=bench%3Ax"},
		{byPath, "ws://h/a", false, ""},
		{byFrame, "http://h", false, ""},
		{byFrame, "", false, ""},
	} {
		base, err := c.a.serverURL(c.given)
		if c.want == "" && err != nil {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.given, err)
			continue
		}
		if got, err := c.a.place(base, c.publishes, "bench:x", ""); err != nil || got.String() != c.want {
			t.Errorf("%s: %v, %v, want %q", c.given, got, err, c.want)
		}
	}
}

func TestWindow_FreesASlotWhenAllHaveIt(t *testing.T) {
	w := newWindow(1, 2)
	slot, _ := w.take(t.Context())
	w.arrived(slot)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := w.take(over); ok {
		t.Error("the slot is free before the second listener has its publication")
	}
	w.arrived(slot)
	if _, ok := w.take(t.Context()); !ok {
		t.Error("the slot is not free")
	}
}

// A delayed publication must not hide how long the following ones had to wait.
func TestKeepPace_CountsFromWhenItWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Since(epoch)
		enough := errors.New("enough")
		var due, made []time.Duration
		err := keepPace(t.Context(), 100, func(d time.Duration) error {
			due, made = append(due, d-begin), append(made, time.Since(epoch)-begin)
			if len(due) == 1 {
				<-time.After(25 * time.Millisecond)
			}
			if len(due) == 5 {
				return enough
			}
			return nil
		})
		if err != enough {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{0, 25, 25, 30, 40} {
			if due[i] != time.Duration(i)*10*time.Millisecond || made[i] != want*time.Millisecond {
				t.Errorf("publication %d was due at %v and made at %v, want %v", i, due[i], made[i], want*time.Millisecond)
			}
		}
	})
}

func TestClient_ReadsFramesInAnyPieces(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	wire := append(serverFrame([]byte("one")), 0x80|pingFrame, 2, 'h', 'i')
	wire = append(wire, serverFrame([]byte(long[:300]))...)
	wire = append(wire, 0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70)
	wire = append(wire, long...)
	wire = append(wire, 0x80|closeFrame, 6, 0x0f, 0xa8, 's', 'l', 'o', 'w')
	for _, piece := range []int{1, 7, len(wire)} {
		near, far := net.Pipe()
		c := &Client{conn: near, adapter: native, buffer: make([]byte, 16)}
		go func() {
			for at := 0; at < len(wire); at += piece {
				far.Write(wire[at:min(at+piece, len(wire))])
			}
		}()
		pong := make(chan []byte, 1)
		go func() {
			b := make([]byte, 100)
			n, _ := far.Read(b)
			pong <- b[:n]
		}()
		for _, want := range []string{"one", long[:300], long} {
			if got, err := c.Read(); err != nil || string(got) != want {
				t.Fatalf("in pieces of %d: %.20q, %v; want %.20q", piece, got, err, want)
			}
		}
		if _, err := c.Read(); err == nil || err.Error() != "closed with 4008 slow" {
			t.Errorf("%v, want 4008 slow", err)
		}
		if got, want := string(<-pong), "\x8a\x82\x00\x00\x00\x00hi"; got != want {
			t.Errorf("answered %q, want %q", got, want)
		}
		near.Close()
		far.Close()
	}
}

func TestUsageOfProcess_IsThisOnes(t *testing.T) {
	u, err := usageOfProcess(os.Getpid())
	if err != nil || u.memory < 1<<20 || u.memory > 1<<40 {
		t.Errorf("%+v, %v", u, err)
	}
	before := u.cpu
	for n, deadline := 0, time.Now().Add(30*time.Second); u.cpu == before; n++ {
		if u, err = usageOfProcess(os.Getpid()); err != nil || time.Now().After(deadline) {
			t.Fatalf("after %d readings the CPU time is still %v, %v", n, u.cpu, err)
		}
	}
}

func TestFigure_SetsThousandsApart(t *testing.T) {
	for _, c := range []struct {
		v      float64
		places int
		want   string
	}{{0, 0, "0"}, {999, 0, "999"}, {1000, 0, "1,000"}, {1234567.891, 2, "1,234,567.89"}} {
		if got := figure(c.v, c.places); got != c.want {
			t.Errorf("figure(%v, %d) is %s, want %s", c.v, c.places, got, c.want)
		}
	}
}
