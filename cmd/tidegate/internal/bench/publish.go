package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

func newPublishCommand() *cobra.Command {
	var t target
	var b publishLoad
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Publish from many sessions, and count what the gateway confirms",
		Long: `Publish from many sessions, and count what the gateway confirms. Nobody listens:
this measures the way in, and the broker.`,
		Example: `  tidegate bench publish --publishers 500 --in-flight 8 --pid $(pidof tidegate)
  tidegate bench publish --publishers 1000 --rate 10000 --pid $(pidof tidegate)`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.run(cmd, &b) },
	}
	t.addFlags(cmd)
	flags := cmd.Flags()
	flags.IntVar(&b.publishers, "publishers", 500, "sessions that publish")
	flags.IntVar(&b.channels, "channels", 100, "channels that they publish on, in turn")
	flags.IntVar(&b.inFlight, "in-flight", 8, "publications of each session that are not confirmed yet, at most")
	flags.Float64Var(&b.rate, "rate", 0, "publications a `second`, in all; 0: as fast as they are confirmed")
	flags.IntVar(&b.payload, "payload", 128, "`bytes` of JSON in each publication")
	addDurations(flags, &b.warmUp, &b.duration)
	return cmd
}

// publishLoad measures sessions that publish and wait for confirmations.
type publishLoad struct {
	publishers, channels int
	inFlight             int
	rate                 float64
	payload              int
	warmUp, duration     time.Duration
}

func (b *publishLoad) check() error {
	return errors.Join(
		checkBetween("--publishers", b.publishers, 1, mostSessions),
		checkBetween("--channels", b.channels, 1, 1e6),
		checkBetween("--in-flight", b.inFlight, 1, mostInFlight/10),
		checkBetween("--payload", b.payload, leastPayload, mostPayload),
		checkDurations(b.warmUp, b.duration),
		checkRate(b.rate),
	)
}

func (b *publishLoad) sessions() int { return b.publishers }

func (b *publishLoad) title() string {
	pace := fmt.Sprintf("%d in flight each", b.inFlight)
	if b.rate > 0 {
		pace = fmt.Sprintf("%v publications a second in all", b.rate)
	}
	return fmt.Sprintf("%d publishers on %d channels, %s, %d bytes each", b.publishers, b.channels, pace, b.payload)
}

// publisher is a session that publishes. The gateway confirms its publications in order.
type publisher struct {
	number    int
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
		p := &publisher{number: i, client: client, text: text, due: make(chan time.Duration, b.inFlight), latency: latency}
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
	return b.watch(ctx, site, publishers, latency)
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
		p.latency.record(p.number, time.Since(epoch)-<-p.due)
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

func (b *publishLoad) watch(ctx context.Context, site *site, publishers []*publisher, latency *latencyRecorder) (*Result, error) {
	confirmed := func() (n uint64) {
		for _, p := range publishers {
			n += p.confirmed.Load()
		}
		return n
	}
	if err := site.wait(ctx, b.warmUp, "warming up", confirmed); err != nil {
		return nil, err
	}
	before, err := site.watch.read(ctx)
	if err != nil {
		return nil, err
	}
	began, count := time.Now(), confirmed()
	latency.on.Store(true)
	if err := site.wait(ctx, b.duration, "measuring", confirmed); err != nil {
		return nil, err
	}
	after, err := site.watch.read(ctx)
	if err != nil {
		return nil, err
	}
	took, published := time.Since(began), confirmed()-count
	result := &Result{
		Sessions: b.publishers, Published: published, Memory: after.memory,
		LatencyMS: latency.summary(), LatencyMeaning: "from a publication to its confirmation",
	}
	result.count("publication", published, took, after.cpu-before.cpu)
	if result.PerSecond < 0.99*b.rate {
		result.miss("the rate of %v publications a second: %.1f were confirmed", b.rate, result.PerSecond)
	}
	return result, nil
}
