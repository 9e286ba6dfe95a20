package gateway

import (
	"math"
	"sync/atomic"

	"tidegate/broker"
	"tidegate/gateway/internal/denials"
)

// denying is what is forbidden, as this node knows it. Other nodes, and this one
// later, know it by the broker's register.
type denying struct {
	register broker.Register // nil: nothing can be forbidden
	list     atomic.Pointer[denials.List]
	version  uint64        // of the register when it was read; owned by the goroutine that holds reading
	reading  chan struct{} // a place in it is the right to read the register
	known    chan struct{} // closed when the register has been read once
}

func newDenying(r broker.Register) *denying {
	d := &denying{register: r, version: math.MaxUint64, reading: make(chan struct{}, 1), known: make(chan struct{})}
	d.list.Store(&denials.List{})
	return d
}

// Denial is something that a backend has forbidden: one of Token, User and Address.
type Denial = denials.Denial
