package attendance

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"tidegate/broker"
)

// teller has a backend told what is in line. All nodes have one, and one of them at
// a time takes from the line: the one that the broker has given a lease. It gives the
// notices in order, some at a time, and removes them when the backend has them, so
// that each arrives at least once and none overtakes another.
type teller struct {
	// Fixed at birth.
	config  *Config
	changed chan struct{} // this node may have put something in line
	roused  chan struct{} // another one says so

	// Owned by run.
	holder    string   // who delivers, if it is another node
	delivered []string // IDs that are to be removed from the line
}

const (
	tellerLease  = 10 * time.Second
	tellerSlack  = time.Second     // before the end of a lease, to stop delivering
	tellerTick   = time.Second     // for the one who delivers to look again, if nobody rouses it
	tellerRetry  = tellerLease / 3 // for the others
	gatherPause  = 20 * time.Millisecond
	noticeBatch  = 500
	firstRest    = 100 * time.Millisecond // after a failure; doubled at each further one
	longestRest  = 2 * time.Second
	lastDelivery = 2 * time.Second // to deliver what waits when the node ends
)

func newTeller(c *Config) *teller {
	return &teller{config: c, changed: make(chan struct{}, 1), roused: make(chan struct{}, 1)}
}

// noteChange says that this node may have put something in line. There may be no
// teller.
func (t *teller) noteChange() {
	if t != nil {
		rouse(t.changed)
	}
}

// run delivers until ctx ends, and then for a short time what still waits.
func (t *teller) run(ctx context.Context) {
	rest := firstRest
	for ctx.Err() == nil {
		more, err := t.deliver(ctx, tellerLease)
		switch {
		case err != nil:
			pause(ctx, rest/2+rand.N(rest/2))
			rest = min(2*rest, longestRest)
		case !more:
			rest = firstRest
			t.await(ctx)
		default:
			rest = firstRest
		}
	}
	t.deliverLast(ctx)
}

// await waits until there may be something to deliver.
func (t *teller) await(ctx context.Context) {
	after := tellerTick
	if t.holder != "" {
		after = tellerRetry
	}
	tick := time.NewTimer(after)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			return
		case <-t.roused:
			return
		case <-t.changed:
			if !pause(ctx, gatherPause) || t.holder == "" || t.config.Rouse(ctx, t.holder) != nil {
				return
			}
		}
	}
}

var errPanicked = errors.New("telling the backend has panicked")

// deliver takes from the line and has the backend told. It reports whether there may
// be more.
func (t *teller) deliver(ctx context.Context, lease time.Duration) (more bool, err error) {
	c := t.config
	defer c.Wall.Catch("tell the backend", func() { err = errPanicked })
	taken := time.Now()
	line, err := c.Presence.Take(ctx, broker.Teller{Node: c.Node, Lease: lease, Delivered: t.delivered, Most: noticeBatch})
	if err != nil {
		return false, err
	}
	t.holder, t.delivered = line.Holder, nil
	t.noteDropped(line.Dropped)
	if len(line.Notices) == 0 {
		return false, nil
	}
	ctx, cancel := context.WithDeadline(ctx, taken.Add(tellerLease-tellerSlack))
	defer cancel()
	if err := c.Deliver(ctx, line.Notices); err != nil {
		return false, err
	}
	for _, n := range line.Notices {
		t.delivered = append(t.delivered, n.ID)
	}
	return true, nil
}

func (t *teller) noteDropped(n int) {
	if n == 0 {
		return
	}
	t.config.Log.Error("notices found no room while the webhook's backend was away", "dropped", n)
	if dropped := t.config.Dropped; dropped != nil {
		dropped(n)
	}
}

// deliverLast delivers what waits when the node ends, unless another one does, until
// the backend fails or time is up. Then another node may.
func (t *teller) deliverLast(ctx context.Context) {
	last, cancel := t.config.last(ctx, lastDelivery)
	defer cancel()
	for more := true; more; {
		var err error
		if more, err = t.deliver(last, tellerLease); err != nil {
			t.config.Log.Error("the node ends, and the last notices wait for another one", "error", err)
		}
	}
	if t.holder == "" {
		giveUp, cancel := t.config.last(ctx, time.Second)
		defer cancel()
		_, _ = t.deliver(giveUp, 0) // or the lease ends
	}
}
