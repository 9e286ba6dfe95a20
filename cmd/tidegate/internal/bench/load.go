package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"
)

// load publishes on channels with subscribers and measures the deliveries. It keeps either a
// rate or a number of publications in flight, which are those that some listener has not yet
// received.
type load struct {
	channels, members int // members is the number of listeners per channel
	traffic
}

func (l *load) addFlags(flags *pflag.FlagSet) {
	flags.IntVar(&l.inFlight, "in-flight", l.inFlight, "publications in flight, in total: those that some listener has not received yet; ignored with --rate")
	l.traffic.addFlags(flags)
}

func (l *load) check() error {
	return errors.Join(
		checkBetween("--rooms", l.channels, 1, mostSessions),
		checkBetween("--members or --subscribers", l.members, 1, mostSessions),
		checkBetween("sessions", l.sessions(), 1, mostSessions),
		checkBetween("--in-flight", l.inFlight, 1, mostInFlight),
		l.traffic.check(),
	)
}

func (l *load) sessions() int { return l.channels*l.members + l.publishers }

func (l *load) title() string {
	pace := fmt.Sprintf("%d publications in flight", l.inFlight)
	if l.rate > 0 {
		pace = fmt.Sprintf("%v publications per second", l.rate)
	}
	return fmt.Sprintf("%d channels with %d listeners each, %s, %d bytes each", l.channels, l.members, pace, l.payload)
}

// loadRun is one measurement of a load.
type loadRun struct {
	*load
	site       *site
	channel    []*channel
	listeners  []*listener
	publishing []*Client
	window     *window
	latency    *latencyRecorder
	reading    sync.WaitGroup
	published  atomic.Uint64           // publications
	fail       context.CancelCauseFunc // ends the run with an error
}

// measure returns an error if the benchmark could not run. Losses and missed targets are
// reported in the result instead.
func (l *load) measure(ctx context.Context, site *site) (*Result, error) {
	ctx, fail := context.WithCancelCause(ctx)
	r := &loadRun{load: l, site: site, latency: newLatencyRecorder(), fail: fail,
		window: newWindow(l.inFlight, l.members)}
	defer r.end()
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	pumping, stop := context.WithCancel(ctx)
	defer stop()
	var publishing sync.WaitGroup
	publishing.Go(func() { r.publish(pumping) })
	result, err := r.watch(ctx, site, r.latency, "delivery", r.published.Load, r.delivered)
	stop()
	publishing.Wait()
	if err != nil {
		return nil, err
	}
	result.Sessions, result.Delivered, result.LatencyMeaning = r.sessions(), result.Units, r.latencyMeaning()
	r.awaitDeliveries(ctx)
	r.judge(result)
	return result, nil
}

// publish publishes until ctx ends.
func (r *loadRun) publish(ctx context.Context) {
	if err := r.pump(ctx); err != nil && ctx.Err() == nil {
		r.fail(fmt.Errorf("publish: %w", err))
	}
}

// end closes all connections and waits for the goroutines that read from them.
func (r *loadRun) end() {
	r.fail(nil)
	for _, l := range r.listeners {
		if l != nil {
			l.client.Close()
		}
	}
	for _, c := range r.publishing {
		if c != nil {
			c.Close()
		}
	}
	r.reading.Wait()
}

// connect connects all sessions. Each one starts to read right away, because the gateway
// pings the first sessions while others are still connecting.
func (r *loadRun) connect(ctx context.Context) error {
	r.listeners = make([]*listener, r.channels*r.members)
	publishers := r.publishers
	if r.site.adapter.publishesByPath() {
		publishers = r.channels
	}
	r.publishing = make([]*Client, publishers)
	for i := range r.channels {
		r.channel = append(r.channel, &channel{name: r.site.channel(i)})
	}
	err := r.site.connectAll(ctx, len(r.listeners), connectsAtOnce, func(ctx context.Context, i int) error {
		ch := r.channel[i%r.channels]
		client, err := r.site.open(ctx, i, false, ch.name)
		if err != nil {
			return err
		}
		l := &listener{client: client, channel: ch, window: r.window, latency: r.latency}
		r.listeners[i] = l
		if err := client.subscribe(ch.name); err != nil {
			return err
		}
		client.endless()
		r.reading.Go(l.listen)
		return nil
	})
	if err != nil {
		return err
	}
	return r.site.connectAll(ctx, len(r.publishing), connectsAtOnce, func(ctx context.Context, i int) error {
		client, err := r.site.open(ctx, len(r.listeners)+i, true, r.channel[i%r.channels].name)
		if err != nil {
			return err
		}
		r.publishing[i] = client
		client.endless()
		r.reading.Go(func() { r.hearRefusals(client) })
		return nil
	})
}

// hearRefusals reads from a publisher. It ends the run with an error if a publication is
// refused, because no listener would receive it, or if the connection ends.
func (r *loadRun) hearRefusals(c *Client) {
	for {
		frame, err := c.Read()
		if err == nil {
			err = r.site.adapter.refusal(frame)
		}
		if err != nil {
			r.fail(fmt.Errorf("publish: %w", err))
			return
		}
	}
}

func (r *loadRun) delivered() (n uint64) {
	for _, l := range r.listeners {
		n += l.received.Load()
	}
	return n
}

func (r *loadRun) latencyMeaning() string {
	if r.rate > 0 {
		return "from the time when a publication was due to its delivery"
	}
	return "from the sending of a publication to its delivery, with that many in flight"
}

// awaitDeliveries waits for the outstanding deliveries, as long as some arrive within
// patience.
func (r *loadRun) awaitDeliveries(ctx context.Context) {
	r.site.progress.Say("waiting for the last deliveries")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	moved, before := time.Now(), r.delivered()
	for r.outstanding() > 0 && time.Since(moved) < patience {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if delivered := r.delivered(); delivered != before {
			moved, before = time.Now(), delivered
		}
	}
}

// outstanding returns the number of deliveries that connected listeners have not yet
// received.
func (r *loadRun) outstanding() (n uint64) {
	for _, l := range r.listeners {
		if l.closed.Load() == nil {
			n += l.channel.published.Load() - l.last.Load()
		}
	}
	return n
}

// judge adds to the result what did not go as requested: lost connections, and lost or
// repeated deliveries.
func (r *loadRun) judge(result *Result) {
	var first error
	for _, l := range r.listeners {
		result.Lost += l.missed.Load()
		result.Repeated += l.repeated.Load()
		if err := l.closed.Load(); err != nil {
			result.Closed++
			first = cmp.Or(first, *err)
		}
	}
	result.Lost += r.outstanding()
	if result.Closed > 0 {
		result.miss("%d of %d listeners lost their connection, the first: %v", result.Closed, len(r.listeners), first)
	}
	if result.Lost > 0 {
		result.miss("%d deliveries to connected listeners are missing", result.Lost)
	}
	if result.Repeated > 0 {
		result.miss("%d deliveries arrived twice or out of order", result.Repeated)
	}
}
