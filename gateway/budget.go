package gateway

import "sync/atomic"

// budget bounds the bytes that a node holds of what clients have sent and asked for
// just now: bodies of requests and answers to them, unfinished messages, publishes
// that the broker has not answered. It is safe for concurrent use.
type budget struct {
	most int64 // 0: no bound
	held atomic.Int64
}

// TakeInbound makes room for so many bytes of a client's, which are held until
// GiveInbound. Without room the error is an *Error: the node holds too much for
// others just now.
func (g *Gateway) TakeInbound(bytes int) error {
	b := &g.inbound
	if held := b.held.Add(int64(bytes)); b.most > 0 && held > b.most {
		b.held.Add(-int64(bytes))
		return failf(Unavailable, "the node holds as much for its clients as limits.inbound_bytes allows: try again")
	}
	return nil
}

// GiveInbound gives back what TakeInbound took.
func (g *Gateway) GiveInbound(bytes int) { g.inbound.held.Add(-int64(bytes)) }
