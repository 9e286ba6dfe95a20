package pusher

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/native"
	"tidegate/gateway/rules"
	"tidegate/gateway/websocket"
)

// audience is a group of sessions whose connections discard all frames.
type audience struct {
	n    *node
	left atomic.Int64  // number of frames still to come
	all  chan struct{} // receives a value when all have come
}

// swallower is a connection of an audience. It counts frames and discards them.
type swallower struct{ of *audience }

func (c swallower) Write(frames [][]byte, _ time.Duration) ([][]byte, error) {
	if c.of.left.Add(-int64(len(frames))) == 0 {
		c.of.all <- struct{}{}
	}
	return nil, nil
}
func (swallower) Heard() time.Time             { return time.Now() }
func (swallower) Close(gateway.Reason, []byte) {}

// greetings returns the Hello of each protocol whose cost is compared.
func (n *node) greetings() map[string]func() gateway.Hello {
	app, _ := n.apps.byID(shop.ID)
	return map[string]func() gateway.Hello{
		"native": func() gateway.Hello { return gateway.Hello{Protocol: websocket.Framed(native.Protocol{})} },
		"pusher": func() gateway.Hello { return app.hello(websocket.Framed(Protocol{app}), newSocketID()) },
	}
}

// seat subscribes that many sessions of one protocol to a channel.
func (n *node) seat(greet func() gateway.Hello, sessions int, channel string) *audience {
	n.t.Helper()
	a := &audience{n: n, all: make(chan struct{}, 1)}
	const opening = 2 // the welcome and the confirmed subscription
	a.left.Store(int64(opening * sessions))
	for range sessions {
		hello := greet()
		hello.Transport = "test"
		hello.Commands = []gateway.Command{gateway.Subscribe{ID: answered, Channel: channel}}
		s, err := n.Open(context.Background(), hello)
		must(n.t, err)
		s.Attach(swallower{a})
	}
	a.await()
	return a
}

func (a *audience) await() {
	a.n.t.Helper()
	select {
	case <-a.all:
	case <-time.After(patience):
		a.n.t.Fatalf("%d frames have not come", a.left.Load())
	}
}

// tell publishes a message and returns when that many frames have been written.
func (a *audience) tell(channel string, frames int) {
	a.left.Store(int64(frames))
	app, _ := a.n.apps.byID(shop.ID)
	_, err := a.n.Publish(context.Background(), &app.publisher, gateway.Publish{
		Channel: channel, Payload: []byte(`{"text":"` + strings.Repeat("x", 117) + `"}`), Kind: broker.JSON, Event: "said",
	})
	if err != nil {
		a.n.t.Fatal(err)
	}
	a.await()
}

func startCostly(t testing.TB) *node {
	return startNode(t, gateway.Config{
		Broker: broker.NewMemory(), Ping: time.Hour, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone}},
		Limits: gateway.Limits{OutboxBytes: 1 << 20},
	})
}

// One operation publishes a message and waits until it is written to all sessions of the
// channel. Native and Pusher clients take turns, so that other load on the machine affects
// both. A Pusher client must not cost more than 1.1 times as much as a native one.
func BenchmarkDelivery(b *testing.B) {
	const sessions = 1000
	n := startCostly(b)
	greet := n.greetings()
	native, pusher := n.seat(greet["native"], sessions, "native"), n.seat(greet["pusher"], sessions, "news")
	var took [2][]float64
	for b.Loop() {
		began := time.Now()
		native.tell("native", sessions)
		between := time.Now()
		pusher.tell("news", sessions)
		took[0] = append(took[0], float64(between.Sub(began).Nanoseconds())/sessions)
		took[1] = append(took[1], float64(time.Since(between).Nanoseconds())/sessions)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(took[0]), "ns/native-delivery")
	b.ReportMetric(median(took[1]), "ns/pusher-delivery")
	b.ReportMetric(median(took[1])/median(took[0]), "times-native")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// A Pusher client must not use more than 1.2 times the memory of a native one.
func TestSession_TakesLittleMoreMemoryThanANativeOne(t *testing.T) {
	const sessions, most = 5000, 1.2
	taken := map[string]float64{}
	for _, protocol := range []string{"native", "pusher"} {
		n := startCostly(t)
		greet := n.greetings()[protocol]
		n.seat(greet, 100, "warm")
		before := heap()
		n.seat(greet, sessions, "news")
		taken[protocol] = float64(heap()-before) / sessions
		n.stop()
	}
	t.Logf("bytes of a session: %.0f native, %.0f Pusher", taken["native"], taken["pusher"])
	if taken["pusher"] > most*taken["native"] {
		t.Errorf("a session takes %.0f bytes, a native one %.0f: more than %.1f times as many", taken["pusher"], taken["native"], most)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
