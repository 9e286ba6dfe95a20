package attendance

import (
	"context"
	"log/slog"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/wall"
)

// Config configures an Attendance.
type Config struct {
	Presence broker.Presence
	Broker   broker.Broker // delivers joins and leaves
	Node     string        // this node's name, as the other nodes know it
	Run      string        // a name that is unique to this run of the node
	Lease    time.Duration // a node that is silent for this long counts as gone, with all its members
	Linger   time.Duration // a member who comes back within this time has not left
	Lines    []Line        // the notices to backends; see SetLines
	Alone    func() bool   // reports whether no other node is alive

	Rouse   func(ctx context.Context, node, line string) error // calls RouseTeller on another node
	Dropped func(n int)                                        // called with the number of notices dropped for lack of room

	LastWord func() time.Time // called after Run's context has ended; returns the time by which Run must return

	Changes int // the most joins and leaves per second that a channel's audience is sent; 0 means no limit
	Log     *slog.Logger
	Wall    *wall.Wall
}

// Line describes the notices that one backend gets.
type Line struct {
	Wants broker.Wants // includes the name of the line

	// Deliver returns nil once the backend has taken the notices. Its context ends when
	// another node may deliver.
	Deliver func(context.Context, []broker.Notice) error
}

// A node gives signs of life often enough that it can miss several, and notice that it did,
// before its lease ends.
const (
	leaseShare  = 2.0 / 3 // the lease given to the broker, as a share of the configured one
	lifeSigns   = 6       // per lease
	lingerGrace = 5 * time.Millisecond

	statePause      = 10 * time.Millisecond // between two statements, so that changes are batched
	sweepPause      = 50 * time.Millisecond // the shortest pause between two checks of lingers
	readPatience    = 1500 * time.Millisecond
	lastPatience    = 2 * time.Second // to state what is left at shutdown
	concurrentReads = 16
)

// last returns a context for work that is done after ctx has ended. It ends after atMost,
// or after half of the time left until LastWord.
func (c *Config) last(ctx context.Context, atMost time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), min(atMost, time.Until(c.LastWord())/2))
}
