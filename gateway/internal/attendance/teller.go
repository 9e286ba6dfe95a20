package attendance

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/pause"
)

// teller delivers the notices of one line to its backend. Every node has one for each line,
// but only the one that holds the broker's lease takes notices. It delivers them in order,
// in batches, and removes them from the line once the backend has taken them. So each
// notice arrives at least once, and none overtakes another.
type teller struct {
	// Fixed at birth.
	line    string // name of the line
	config  *Config
	tell    func(context.Context, []broker.Notice) error // as Line.Deliver
	stop    context.CancelCauseFunc
	changed chan struct{} // this node may have put a notice into the line
	roused  chan struct{} // another node has put a notice into the line

	// Owned by run.
	holder    string   // the node that delivers, if it is another one
	delivered []string // IDs of notices to remove from the line
	most      int      // notices to take at once: at most as many as one delivery may carry
}

const (
	tellerLease  = 10 * time.Second
	tellerSlack  = time.Second     // stop delivering this long before the lease ends
	tellerTick   = time.Second     // how often the holder looks again if nobody rouses it
	namedTick    = 4 * time.Second // the same for lines with a name, of which there may be many
	tellerRetry  = tellerLease / 3 // how often the other nodes try to get the lease
	gatherPause  = 20 * time.Millisecond
	noticeBatch  = 500
	batchBytes   = 1 << 20                // of the messages in one delivery
	firstRest    = 100 * time.Millisecond // pause after a failure; doubles with each further one
	longestRest  = 2 * time.Second
	lastDelivery = 2 * time.Second // to deliver what is waiting when the node ends
)

var errLineGone = errors.New("nobody is told any more what is in this line")

// run delivers until ctx ends. Then it delivers what is still waiting, for a short time,
// unless the line has been removed.
func (t *teller) run(ctx context.Context) {
	rest := firstRest
	for ctx.Err() == nil {
		more, err := t.deliver(ctx, tellerLease)
		switch {
		case err != nil:
			pause.For(ctx, rest/2+rand.N(rest/2))
			rest = min(2*rest, longestRest)
		case !more:
			rest = firstRest
			t.await(ctx)
		default:
			rest = firstRest
		}
	}
	if !errors.Is(context.Cause(ctx), errLineGone) {
		t.deliverLast(ctx)
	}
}

// await blocks until there may be something to deliver.
func (t *teller) await(ctx context.Context) {
	after := tellerTick
	switch {
	case t.holder != "":
		after = tellerRetry
	case t.line != "":
		after = namedTick
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
			if !pause.For(ctx, gatherPause) || t.holder == "" || t.config.Rouse(ctx, t.holder, t.line) != nil {
				return
			}
		}
	}
}

var errPanicked = errors.New("telling the backend has panicked")

// deliver takes notices from the line and passes them to the backend. It reports whether
// there may be more.
func (t *teller) deliver(ctx context.Context, lease time.Duration) (more bool, err error) {
	c := t.config
	defer c.Wall.Catch("tell the backend", func() { err = errPanicked })
	taken := time.Now()
	line, err := c.Presence.Take(ctx, broker.Teller{Line: t.line, Node: c.Node, Lease: lease, Delivered: t.delivered, Most: t.most})
	if err != nil {
		return false, err
	}
	t.holder, t.delivered = line.Holder, nil
	if line.Dropped > 0 {
		c.Log.Error("notices found no room while the webhook's backend was away", "dropped", line.Dropped)
		c.Dropped(line.Dropped)
	}
	if len(line.Notices) == 0 {
		return false, nil
	}
	ctx, cancel := context.WithDeadline(ctx, taken.Add(tellerLease-tellerSlack))
	defer cancel()
	notices := t.cut(line.Notices)
	if err := t.tell(ctx, notices); err != nil {
		return false, err
	}
	for _, n := range notices {
		t.delivered = append(t.delivered, n.ID)
	}
	return true, nil
}

// cut returns the notices that one delivery may carry.
func (t *teller) cut(notices []broker.Notice) []broker.Notice {
	t.most = min(2*t.most, noticeBatch)
	bytes := 0
	for i := range notices {
		if bytes += sizeOf(&notices[i]); bytes > batchBytes && i > 0 {
			t.most = i
			return notices[:i]
		}
	}
	return notices
}

// deliverLast delivers what is waiting when the node ends, until the backend fails or time
// is up, and then gives up the lease. It does nothing if another node delivers.
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
		_, _ = t.deliver(giveUp, 0) // if this fails, the lease ends by itself
	}
}
