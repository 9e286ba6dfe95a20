package gateway

import "sync/atomic"

// budget bounds the bytes that a node holds of what clients have sent and asked for
// just now: bodies of requests and answers to them, unfinished messages, publishes
// that the broker has not answered. It is safe for concurrent use.
type budget struct {
	most int64 // 0: no bound
	held atomic.Int64
}
