package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// benchLoad is publications on channels that sessions listen to. It keeps to a
// rate, or to a number of publications in flight: those which not every listener
// has got.
type benchLoad struct {
	channels, members int
	publishers        int
	inFlight          int     // where rate is 0
	rate              float64 // publications a second; 0: none is kept to
	payload           int
	warmUp, duration  time.Duration
}

// loadRun is one measurement of a benchLoad.
type loadRun struct {
	*benchLoad
	site       *benchSite
	channel    []*benchChannel
	listeners  []*benchListener
	publishing []*benchClient
	window     *benchWindow
	latency    *benchLatency
	published  atomic.Uint64
	reading    sync.WaitGroup
	fail       context.CancelCauseFunc // ends the run with an error
}

// benchChannel is a channel of the load. Its publications are numbered from 1.
type benchChannel struct {
	name      string
	published atomic.Uint64
}

// measure returns an error if the load could not be put on at all; what did not
// hold is in the result.
func (l *benchLoad) measure(ctx context.Context, site *benchSite) (*benchResult, error) {
	ctx, fail := context.WithCancelCause(ctx)
	r := &loadRun{benchLoad: l, site: site, latency: newBenchLatency(), fail: fail,
		window: newBenchWindow(l.inFlight, l.members)}
	defer r.end()
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	r.read()
	pumping, stop := context.WithCancel(ctx)
	defer stop()
	var pump sync.WaitGroup
	pump.Go(func() { r.pump(pumping) })
	result, err := r.watch(ctx)
	stop()
	pump.Wait()
	if err != nil {
		return nil, err
	}
	r.settle(ctx)
	r.judge(result)
	return result, nil
}

// end closes all connections and waits for those who read from them.
func (r *loadRun) end() {
	r.fail(nil)
	for _, l := range r.listeners {
		if l != nil {
			l.client.close()
		}
	}
	for _, c := range r.publishing {
		if c != nil {
			c.close()
		}
	}
	r.reading.Wait()
}

func (r *loadRun) connect(ctx context.Context) error {
	r.listeners = make([]*benchListener, r.channels*r.members)
	r.publishing = make([]*benchClient, r.publishers)
	for i := range r.channels {
		r.channel = append(r.channel, &benchChannel{name: r.site.channel(i)})
	}
	err := r.site.connectAll(ctx, len(r.listeners), connectsAtOnce, func(ctx context.Context, i int) error {
		client, err := r.site.dial(ctx, r.site.listenAt(), i)
		if err != nil {
			return err
		}
		ch := r.channel[i%r.channels]
		r.listeners[i] = &benchListener{number: i, client: client, channel: ch, run: r}
		return client.subscribe(ch.name)
	})
	if err != nil {
		return err
	}
	return r.site.connectAll(ctx, len(r.publishing), connectsAtOnce, func(ctx context.Context, i int) (err error) {
		r.publishing[i], err = r.site.dial(ctx, r.site.publishAt(), len(r.listeners)+i)
		return err
	})
}

// read lets every connection be read from.
func (r *loadRun) read() {
	for _, l := range r.listeners {
		l.client.endless()
		r.reading.Go(l.listen)
	}
	for _, c := range r.publishing {
		c.endless()
		r.reading.Go(func() { r.hearRefusals(c) })
	}
}

// hearRefusals ends the run when a publication is refused: nobody would get it.
func (r *loadRun) hearRefusals(c *benchClient) {
	for {
		frame, err := c.read()
		if err == nil {
			err = refusalIn(frame)
		}
		if err != nil {
			r.fail(fmt.Errorf("publish: %w", err))
			return
		}
	}
}

// loadMark is where things stood at a moment.
type loadMark struct {
	at                   time.Time
	usage                benchUsage
	published, delivered uint64
}

func (r *loadRun) mark(ctx context.Context) (loadMark, error) {
	usage, err := r.site.watch.read(ctx)
	return loadMark{time.Now(), usage, r.published.Load(), r.delivered()}, err
}

func (r *loadRun) delivered() (n uint64) {
	for _, l := range r.listeners {
		n += l.received.Load()
	}
	return n
}

// watch measures from after the warm-up until the duration is over, or nothing
// moves any more.
func (r *loadRun) watch(ctx context.Context) (*benchResult, error) {
	if _, err := r.hold(ctx, r.warmUp, "warming up"); err != nil {
		return nil, err
	}
	begin, err := r.mark(ctx)
	if err != nil {
		return nil, err
	}
	r.latency.on.Store(true)
	stuck, err := r.hold(ctx, r.duration, "measuring")
	r.latency.on.Store(false)
	if err != nil {
		return nil, err
	}
	end, err := r.mark(ctx)
	if err != nil {
		return nil, err
	}
	result := &benchResult{
		Sessions: r.sessions(), Published: end.published - begin.published, Delivered: end.delivered - begin.delivered,
		Memory: end.usage.memory, LatencyMS: r.latency.summary(), LatencyMeaning: r.latencyMeaning(),
	}
	result.count("delivery", result.Delivered, end.at.Sub(begin.at), end.usage.cpu-begin.usage.cpu)
	if stuck {
		result.miss("for %v nothing arrived, with %d publications in flight: the run ended early", benchPatience, r.inFlight)
	}
	return result, nil
}

func (r *loadRun) latencyMeaning() string {
	if r.rate > 0 {
		return "from when a publication was due to its delivery"
	}
	return "from when a publication was sent to its delivery, under the load that so many in flight make"
}

// benchPatience is how long nothing may happen.
const benchPatience = 5 * time.Second

// hold waits for a time. stuck is true if it did not wait for the whole of it,
// since nothing moved.
func (r *loadRun) hold(ctx context.Context, length time.Duration, what string) (stuck bool, err error) {
	over := time.After(length)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	moved, at, before := time.Now(), time.Now(), r.delivered()
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-over:
			return false, nil
		case now := <-tick.C:
			delivered := r.delivered()
			r.site.progress.say("%s: %s deliveries a second", what, figure(float64(delivered-before)/now.Sub(at).Seconds(), 0))
			if delivered != before {
				moved = now
			}
			at, before = now, delivered
			if r.rate == 0 && now.Sub(moved) > benchPatience {
				return true, nil
			}
		}
	}
}

// settle waits for what is still on its way.
func (r *loadRun) settle(ctx context.Context) {
	r.site.progress.say("waiting for the last deliveries")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	moved, before := time.Now(), r.delivered()
	for r.outstanding() > 0 && time.Since(moved) < benchPatience {
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

// outstanding is how many deliveries have not been made to sessions that are
// still there.
func (r *loadRun) outstanding() (n uint64) {
	for _, l := range r.listeners {
		if l.closed.Load() == nil {
			n += l.channel.published.Load() - l.last.Load()
		}
	}
	return n
}

// judge says what of all that was asked for did not happen.
func (r *loadRun) judge(result *benchResult) {
	var first error
	for _, l := range r.listeners {
		result.Lost += l.missed.Load()
		result.Repeated += l.repeated.Load()
		if err := l.closed.Load(); err != nil {
			result.Closed++
			first = cmpError(first, *err)
		}
	}
	result.Lost += r.outstanding()
	if result.Closed > 0 {
		result.miss("%d of %d listeners lost their connection, the first: %v", result.Closed, len(r.listeners), first)
	}
	if result.Lost > 0 {
		result.miss("%d deliveries to connected listeners did not happen", result.Lost)
	}
	if result.Repeated > 0 {
		result.miss("%d deliveries came twice, or out of order", result.Repeated)
	}
	if reached := float64(result.Published) / result.Seconds; reached < 0.99*r.rate {
		result.miss("the rate of %v publications a second: %.1f were sent", r.rate, reached)
	}
}

func cmpError(first, other error) error {
	if first != nil {
		return first
	}
	return other
}
