package gateway_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// audience is a set of sessions whose connections discard what is written.
type audience struct {
	left atomic.Int64  // frames yet to be written
	all  chan struct{} // receives a value when all have been written
}

// expect sets the number of frames for the next await.
func (a *audience) expect(frames int) { a.left.Store(int64(frames)) }

func (a *audience) await(t testing.TB) {
	select {
	case <-a.all:
	case <-time.After(patience):
		t.Fatalf("%d frames have not come", a.left.Load())
	}
}

// swallower is a connection of an audience.
type swallower struct {
	of     *audience
	closed chan struct{}
	close  func()
}

func newSwallower(a *audience) *swallower {
	closed := make(chan struct{})
	return &swallower{of: a, closed: closed, close: sync.OnceFunc(func() { close(closed) })}
}

func (c *swallower) Read(context.Context) (gateway.Frame, error) {
	<-c.closed
	return gateway.Frame{}, io.EOF
}

func (c *swallower) Write(frames [][]byte, _ time.Duration) ([][]byte, error) {
	if c.of.left.Add(-int64(len(frames))) == 0 {
		c.of.all <- struct{}{}
	}
	return nil, nil
}

func (c *swallower) Heard() time.Time             { return time.Now() }
func (c *swallower) Close(gateway.Reason, []byte) { c.close() }

// seat opens sessions on a node, distributed over the channels in turn, and returns when all
// are subscribed.
func (a *audience) seat(n *node, sessions int, channels ...string) {
	n.t.Helper()
	var serving sync.WaitGroup
	n.t.Cleanup(serving.Wait)
	const opening = 2 // frames: welcome and subscribed
	a.expect(opening * sessions)
	for i := range sessions {
		s, err := n.Open(context.Background(), gateway.Hello{
			Protocol: words{"words"}, Transport: "test",
			Commands: []gateway.Command{gateway.Subscribe{ID: gateway.ID{Value: 1, Given: true}, Channel: channels[i%len(channels)]}},
		})
		must(n.t, err)
		c := newSwallower(a)
		n.t.Cleanup(c.close)
		serving.Go(func() { serve(context.Background(), s, c) })
	}
	a.await(n.t)
}

// startLive runs a node that keeps no history and never pings.
func startLive(t testing.TB, b broker.Broker) *node {
	return startNode(t, gateway.Config{
		Broker: b, Ping: time.Hour, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone}},
	})
}

var benchPayload = []byte(strings.Repeat("x", 128))

// tell publishes a message and returns when so many frames have been written.
func (a *audience) tell(n *node, channel string, frames int) {
	a.expect(frames)
	if _, err := n.Publish(context.Background(), &backend, gateway.Publish{Channel: channel, Payload: benchPayload, Kind: broker.Text}); err != nil {
		n.t.Fatal(err)
	}
	a.await(n.t)
}

func roomNames(n int) (channels []string) {
	for i := range n {
		channels = append(channels, fmt.Sprintf("room:%d", i))
	}
	return channels
}

// The number of allocations of a publish must not depend on the number of subscribers.
func TestFanOut_ADeliveryAllocatesNothing(t *testing.T) {
	allocations := func(sessions int) float64 {
		n := startLive(t, broker.NewMemory())
		a := &audience{all: make(chan struct{}, 1)}
		a.seat(n, sessions, "chat")
		defer n.stop()
		return testing.AllocsPerRun(50, func() { a.tell(n, "chat", sessions) })
	}
	const more = 1000
	one, many := allocations(1), allocations(1+more)
	if perDelivery := (many - one) / more; perDelivery > 0.01 {
		t.Errorf("a publication allocates %v times for one session and %v times for %d: %.2f times a delivery", one, many, 1+more, perDelivery)
	}
}

// One operation is a publish that has been written to all subscribers. The cost of a delivery
// must not grow with their number.
func BenchmarkFanOut_Sessions(b *testing.B) {
	for _, sessions := range []int{1, 1000, 2000, 4000, 10_000} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
			n := startLive(b, broker.NewMemory())
			a := &audience{all: make(chan struct{}, 1)}
			a.seat(n, sessions, "chat")
			b.ReportAllocs()
			for b.Loop() {
				a.tell(n, "chat", sessions)
			}
			reportDeliveries(b, sessions)
		})
	}
}

// The cost of a delivery must not grow with the number of channels.
func BenchmarkFanOut_Channels(b *testing.B) {
	const members = 5
	for _, channels := range []int{1, 250, 500, 1000, 2000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			n := startLive(b, broker.NewMemory())
			a := &audience{all: make(chan struct{}, 1)}
			rooms := roomNames(channels)
			a.seat(n, members*channels, rooms...)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				a.tell(n, rooms[i%channels], members)
				i++
			}
			reportDeliveries(b, members)
		})
	}
}

// One operation is a publish through Redis that has been written to 100 sessions on each node.
// Its cost must grow with the number of subscribed nodes; that of a delivery must not.
func BenchmarkFanOut_Nodes(b *testing.B) {
	const perNode = 100
	for _, nodes := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			server := brokertest.StartRedis(b)
			a := &audience{all: make(chan struct{}, 1)}
			var first *node
			for range nodes {
				redis, err := broker.NewRedis(broker.RedisConfig{URL: server.URL()})
				must(b, err)
				n := startLive(b, redis)
				a.seat(n, perNode, "chat")
				if first == nil {
					first = n
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				a.tell(first, "chat", nodes*perNode)
			}
			reportDeliveries(b, nodes*perNode)
		})
	}
}

func reportDeliveries(b *testing.B, perOperation int) {
	deliveries := float64(b.N) * float64(perOperation)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/deliveries, "ns/delivery")
}
