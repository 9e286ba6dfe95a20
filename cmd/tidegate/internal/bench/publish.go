package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"
)

// publishKind is not for other servers: few confirm publications.
var publishKind = &kind{
	use: "publish", short: "Publish from many sessions and count the confirmations",
	long: `Publish from many sessions and count the confirmations of the gateway. Nobody listens:
this measures the way from the clients to the broker.`,
	example: `  tidegate bench publish --publishers 500 --in-flight 8 --pid $(pidof tidegate)
  tidegate bench publish --publishers 1000 --rate 10000 --pid $(pidof tidegate)`,
	load: func(flags *pflag.FlagSet) benchmark {
		b := &publishLoad{traffic: traffic{publishers: 500}}
		b.traffic.addFlags(flags)
		flags.IntVar(&b.channels, "channels", 100, "number of channels")
		flags.IntVar(&b.inFlight, "in-flight", 8, "most unconfirmed publications of each session")
		return b
	},
}

// publishLoad measures sessions that publish and wait for confirmations.
type publishLoad struct {
	channels int
	traffic  // inFlight is that of each session
}

func (b *publishLoad) check() error {
	return errors.Join(
		checkBetween("--channels", b.channels, 1, 1e6),
		checkBetween("--in-flight", b.inFlight, 1, mostInFlight/10),
		b.traffic.check(),
	)
}

func (b *publishLoad) sessions() int { return b.publishers }

func (b *publishLoad) title() string {
	pace := fmt.Sprintf("%d in flight each", b.inFlight)
	if b.rate > 0 {
		pace = fmt.Sprintf("%v publications per second in total", b.rate)
	}
	return fmt.Sprintf("%d publishers on %d channels, %s, %d bytes each", b.publishers, b.channels, pace, b.payload)
}

// publisher is a session that publishes. The gateway confirms its publications in order.
type publisher struct {
	client    *Client
	text      []byte
	due       chan time.Duration // due times of the unconfirmed publications; its capacity limits them
	latency   *latencyRecorder
	confirmed atomic.Uint64
}

func (b *publishLoad) measure(ctx context.Context, site *site) (*Result, error) {
	latency := newLatencyRecorder()
	publishers := make([]*publisher, b.publishers)
	ctx, fail := context.WithCancelCause(ctx)
	var working sync.WaitGroup
	defer func() {
		fail(nil)
		for _, p := range publishers {
			if p != nil {
				p.client.Close()
			}
		}
		working.Wait()
	}()
	err := site.connectAll(ctx, b.publishers, connectsAtOnce, func(ctx context.Context, i int) error {
		client, err := site.open(ctx, i, true, site.channel(i%b.channels))
		if err != nil {
			return err
		}
		client.endless()
		text := fmt.Appendf(nil, `{"type":"publish","id":1,"channel":"%s","data":%s}`, site.channel(i%b.channels), payloadText(b.payload))
		p := &publisher{client: client, text: text, due: make(chan time.Duration, b.inFlight), latency: latency}
		publishers[i] = p
		working.Go(func() { // right away, to answer pings while others are connecting
			fail(fmt.Errorf("publish: %w", p.work(b.rate == 0)))
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if b.rate > 0 {
		working.Go(func() { b.pace(ctx, publishers) })
	}
	confirmed := func() (n uint64) {
		for _, p := range publishers {
			n += p.confirmed.Load()
		}
		return n
	}
	result, err := b.watch(ctx, site, latency, "publication", confirmed, confirmed)
	if err != nil {
		return nil, err
	}
	result.Sessions, result.LatencyMeaning = b.publishers, "from a publication to its confirmation"
	return result, nil
}

// pace lets the publishers publish in turn, at the rate. A publisher whose window is full
// delays the others, which shows in the latencies.
func (b *publishLoad) pace(ctx context.Context, publishers []*publisher) {
	turn := 0
	_ = keepPace(ctx, b.rate, func(due time.Duration) error { // work reports errors
		p := publishers[turn%len(publishers)]
		turn++
		select {
		case p.due <- due:
		case <-ctx.Done():
			return ctx.Err()
		}
		return p.client.Write(p.text)
	})
}

var publishedPrefix = []byte(`{"type":"published"`)

// work reads confirmations until the connection ends or a publication is refused, and
// returns the reason. If keepFull is true, it keeps the window full: it publishes once for
// each confirmation, and those that arrive together cause one write.
func (p *publisher) work(keepFull bool) error {
	if keepFull {
		if err := p.publish(cap(p.due)); err != nil {
			return err
		}
	}
	for confirmed := 0; ; {
		frame, err := p.client.Read()
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(frame, publishedPrefix) {
			if err := native.refusal(frame); err != nil {
				return err
			}
			continue
		}
		confirmed++
		p.confirmed.Add(1)
		p.latency.record(time.Since(epoch) - <-p.due)
		if keepFull && !p.client.whole() {
			if err := p.publish(confirmed); err != nil {
				return err
			}
			confirmed = 0
		}
	}
}

func (p *publisher) publish(n int) error {
	for range n {
		p.due <- time.Since(epoch)
		p.client.add(p.text)
	}
	return p.client.flush()
}
