package gateway_test

import (
	"context"
	"testing"

	"tidegate/broker"
	"tidegate/gateway"
)

// One operation is a session that opens, subscribes to a channel, and ends.
func BenchmarkConnect_OpenAndEnd(b *testing.B) {
	n := startLive(b, broker.NewMemory())
	a := &audience{all: make(chan struct{}, 1)}
	a.seat(n, 1, "chat") // so that the channel stays
	hello := gateway.Hello{Protocol: words{"words"}, Transport: "test", Commands: []gateway.Command{gateway.Subscribe{Channel: "chat"}}}
	b.ReportAllocs()
	for b.Loop() {
		s, err := n.Open(context.Background(), hello)
		must(b, err)
		s.Attach(newSwallower(a))
		s.End(nil)
	}
}

// One operation is a publish that the broker confirms, on a channel without subscribers here.
func BenchmarkPublish_Confirmed(b *testing.B) {
	n := startLive(b, broker.NewMemory())
	c := gateway.Publish{Channel: "chat", Payload: benchPayload, Kind: broker.Text}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Publish(context.Background(), &backend, c); err != nil {
			b.Fatal(err)
		}
	}
}
