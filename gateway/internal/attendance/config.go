package attendance

import (
	"context"
	"log/slog"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/wall"
)

// Config is what an Attendance is made of. Presence, Broker, LastWord, Log and
// Wall are required.
type Config struct {
	Presence broker.Presence
	Broker   broker.Broker // over which joins and leaves come
	Node     string        // as the other nodes know it
	Run      string        // a name that this run of the node alone has
	Lease    time.Duration // a node that is silent for so long has nobody
	Linger   time.Duration // within which who left may be back unnoticed
	Lines    []Line        // of what backends are to be told; see SetLines
	Alone    func() bool   // no other node is alive

	Rouse   func(ctx context.Context, node, line string) error // calls another node's RouseTeller
	Dropped func(n int)                                        // told of notices that found no room; nil: nobody is

	LastWord func() time.Time // asked when Run's context has ended: by when to return

	Changes int // joins and leaves of a channel that its audience is told in a second; 0: all
	Log     *slog.Logger
	Wall    *wall.Wall
}

// Line is what a backend is to be told, and how.
type Line struct {
	Wants broker.Wants // with the line's name

	// Deliver returns nil once the backend has the notices. Its context ends when
	// another node may deliver.
	Deliver func(context.Context, []broker.Notice) error
}

// A sign of life is given often enough for several to be missed before the node
// counts as dead, and for that to be noticed within the lease.
const (
	leaseShare  = 2.0 / 3 // of the lease of the configuration, the broker's one
	lifeSigns   = 6       // within a lease
	lingerGrace = 5 * time.Millisecond

	statePause      = 10 * time.Millisecond // between statements, for changes to go together
	sweepPause      = 50 * time.Millisecond // between looks at lingers
	readPatience    = 1500 * time.Millisecond
	lastPatience    = 2 * time.Second // to state what is left at the end
	concurrentReads = 16
)

// last returns the context of something that is done when ctx has ended: in the time
// given, and half of what there is.
func (c *Config) last(ctx context.Context, atMost time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), min(atMost, time.Until(c.LastWord())/2))
}
