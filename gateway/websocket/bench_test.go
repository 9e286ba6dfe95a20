package websocket

import (
	"net"
	"runtime"
	"testing"

	"tidegate/gateway"
)

// BenchmarkWebSocket_Connect measures a handshake, the welcome and a subscription, on both
// sides.
func BenchmarkWebSocket_Connect(b *testing.B) {
	b.Run("net-http", func(b *testing.B) { benchmarkConnect(b, startNode) })
	b.Run("front", func(b *testing.B) { benchmarkConnect(b, startFrontNode) })
}

func benchmarkConnect(b *testing.B, start starter) {
	n := start(b, gateway.Config{Limits: gateway.Limits{MessageBytes: 64 << 10}})
	b.ReportAllocs()
	for b.Loop() {
		r := n.dialUpgraded()
		r.send(masked(final|opText, `{"type":"subscribe","id":1,"channel":"idle"}`))
		r.expectFrame(opText)
		r.Conn.Close()
	}
	n.awaitSessions(0)
}

// BenchmarkWebSocket_Idle reports the heap and stacks that an idle session with a
// subscription takes. This includes the client's side, a bare socket, which is negligible.
func BenchmarkWebSocket_Idle(b *testing.B) {
	const sessions = 1000
	n := startNode(b, gateway.Config{Limits: gateway.Limits{MessageBytes: 64 << 10}})
	for b.Loop() {
		heap, stacks := heapAndStacks()
		var peers []net.Conn
		for range sessions {
			r := n.dialUpgraded()
			r.send(masked(final|opText, `{"type":"subscribe","id":1,"channel":"idle"}`))
			r.expectFrame(opText)
			r.r = nil
			peers = append(peers, r.Conn)
		}
		heapThen, stacksThen := heapAndStacks()
		b.ReportMetric((heapThen-heap)/sessions, "heap-B/session")
		b.ReportMetric((stacksThen-stacks)/sessions, "stack-B/session")
		for _, peer := range peers {
			peer.Close()
		}
		n.awaitSessions(0)
	}
}

func heapAndStacks() (heap, stacks float64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse), float64(m.StackInuse)
}
