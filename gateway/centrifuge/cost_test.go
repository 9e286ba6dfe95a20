package centrifuge_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/centrifuge"
	"tidegate/gateway/gatewaytest"
	"tidegate/gateway/native"
	"tidegate/gateway/rules"
	"tidegate/gateway/websocket"
)

// theater is a gateway in memory whose connections cost nothing, so that only the gateway's
// own work is measured.
type theater struct {
	testing.TB
	*gateway.Gateway
	stop func()
}

func openTheater(t testing.TB) *theater {
	t.Helper()
	g, err := gateway.New(gateway.Config{
		Broker: broker.NewMemory(), Ping: time.Hour, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone}},
		Limits: gateway.Limits{OutboxBytes: 1 << 20},
	})
	must(t, err)
	return &theater{t, g, gatewaytest.Run(t, g, func() {})}
}

// dialect is a protocol whose cost is compared: how its sessions begin, and which frames
// they get before messages.
type dialect struct {
	protocol gateway.Protocol
	begin    []gateway.Frame
	told     int
}

var dialects = map[string]dialect{
	"native": {native.Protocol{}, []gateway.Frame{{Data: []byte(`{"type":"subscribe","id":1,"channel":"news"}`)}}, 2},
	"json": {centrifuge.Protocol{}, []gateway.Frame{
		{Data: []byte(`{"id":1,"connect":{}}`)}, {Data: []byte(`{"id":2,"subscribe":{"channel":"news"}}`)},
	}, 2},
	"protobuf": {centrifuge.Protocol{Format: centrifuge.Protobuf}, []gateway.Frame{
		{Data: []byte("\x04\x08\x01\x22\x00"), Binary: true}, {Data: []byte("\x0a\x08\x02\x2a\x06\x0a\x04news"), Binary: true},
	}, 2},
}

// audience is a set of sessions whose connections discard what they are sent.
type audience struct {
	*theater
	left atomic.Int64  // frames still to be written
	all  chan struct{} // signaled once all frames are written
}

type swallower struct{ of *audience }

func (c swallower) Write(frames [][]byte, _ time.Duration) ([][]byte, error) {
	if c.of.left.Add(-int64(len(frames))) == 0 {
		c.of.all <- struct{}{}
	}
	return nil, nil
}
func (swallower) Heard() time.Time             { return time.Now() }
func (swallower) Close(gateway.Reason, []byte) {}

// seat subscribes that many sessions of a dialect.
func (th *theater) seat(d dialect, sessions int) *audience {
	th.Helper()
	a := &audience{theater: th, all: make(chan struct{}, 1)}
	a.left.Store(int64(d.told * sessions))
	for range sessions {
		_, isNative := d.protocol.(native.Protocol)
		s, err := th.Open(context.Background(), gateway.Hello{
			Protocol: websocket.Framed(d.protocol), Transport: "test", AuthFirst: !isNative, AuthLater: true,
		})
		if err != nil {
			th.Fatal(err)
		}
		s.Attach(swallower{a})
		for _, frame := range d.begin {
			if err := s.Receive(context.Background(), frame); err != nil {
				th.Fatal(err)
			}
			s.Rest()
		}
	}
	a.await()
	return a
}

func (a *audience) await() {
	a.Helper()
	select {
	case <-a.all:
	case <-time.After(patience):
		a.Fatalf("%d frames have not come", a.left.Load())
	}
}

// tell publishes, and returns once that many frames have been written.
func (a *audience) tell(frames int) {
	a.left.Store(int64(frames))
	_, err := a.Publish(context.Background(), &gateway.Principal{Key: "backend"}, gateway.Publish{
		Channel: "news", Payload: []byte(`{"text":"` + strings.Repeat("x", 117) + `"}`), Kind: broker.JSON,
	})
	if err != nil {
		a.Fatal(err)
	}
	a.await()
}

// One operation is one publication, written to all sessions of its channel. For Centrifuge
// clients it must not take more than 1.1 times as long as for native ones.
func BenchmarkDelivery(b *testing.B) {
	const sessions = 1000
	for _, name := range []string{"native", "json", "protobuf", "native", "json", "protobuf"} {
		b.Run(name, func(b *testing.B) {
			a := openTheater(b).seat(dialects[name], sessions)
			b.ReportAllocs()
			for b.Loop() {
				a.tell(sessions)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*sessions), "ns/delivery")
		})
	}
}

// A Centrifuge session must not take more than 1.2 times the memory of a native one.
func TestSession_TakesLittleMoreMemoryThanANativeOne(t *testing.T) {
	const sessions, most = 5000, 1.2
	taken := map[string]float64{}
	for name, d := range dialects {
		th := openTheater(t)
		th.seat(d, 100)
		before := heap()
		th.seat(d, sessions)
		taken[name] = float64(heap()-before) / sessions
		th.stop()
	}
	t.Logf("bytes of a session: %v", taken)
	for name, bytes := range taken {
		if bytes > most*taken["native"] {
			t.Errorf("a session that speaks %s takes %.0f bytes, a native one %.0f: more than %.1f times as many", name, bytes, taken["native"], most)
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
