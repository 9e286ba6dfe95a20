package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"
)

// connectLoad measures how sessions connect and subscribe.
type connectLoad struct {
	count    int // number of sessions
	channels int // per session, all distinct; 0 if all sessions share one channel
	atOnce   int // sessions that connect concurrently
	clients  []*Client
	tokens   []string
	missed   backlog
	attend   func(*Client) // called for each subscribed session; may be nil
}

func (b *connectLoad) addFlags(flags *pflag.FlagSet, sessions int) {
	flags.IntVar(&b.count, "sessions", sessions, "number of sessions")
	flags.IntVar(&b.channels, "channels", 0, "channels of each session, all different; 0: one channel for all")
	flags.IntVar(&b.atOnce, "at-once", connectsAtOnce, "sessions that connect at the same time")
}

func (b *connectLoad) check() error {
	return errors.Join(
		checkBetween("--sessions", b.count, 1, mostSessions),
		checkBetween("--channels", b.channels, 0, 1000),
		checkBetween("--at-once", b.atOnce, 1, mostSessions),
		checkBetween("--resume", b.missed.messages, 0, 1000),
	)
}

func (b *connectLoad) sessions() int      { return b.count }
func (b *connectLoad) subscriptions() int { return b.count * max(1, b.channels) }

func (b *connectLoad) title() string {
	if b.channels == 0 {
		return fmt.Sprintf("%d sessions on one channel", b.count)
	}
	return fmt.Sprintf("%d sessions on %d channels each, all different", b.count, b.channels)
}

// prepare signs the tokens, so that this is not part of the measurement, and publishes the
// messages that the sessions have missed.
func (b *connectLoad) prepare(ctx context.Context, site *site) (err error) {
	b.clients, b.tokens = make([]*Client, b.count), make([]string, b.count)
	for i := range b.tokens {
		if b.tokens[i], err = site.tokenOf(i); err != nil {
			return err
		}
	}
	return b.missed.publish(ctx, site, b.ownChannels())
}

// connect connects and subscribes all sessions, and records how long each one took.
func (b *connectLoad) connect(ctx context.Context, site *site, latency *latencyRecorder) error {
	return site.connectAll(ctx, b.count, b.atOnce, func(ctx context.Context, i int) error {
		began := time.Now()
		client, err := site.dial(ctx, false, b.channelsOf(site, i)[0], b.tokens[i])
		if err != nil {
			return err
		}
		b.clients[i] = client
		if err := b.subscribe(site, client, i); err != nil {
			return err
		}
		latency.record(time.Since(began))
		if b.attend != nil {
			b.attend(client)
		}
		return nil
	})
}

// subscribe subscribes a session to its channels, with cursors if it has missed messages. It
// returns when all subscriptions are confirmed and all missed messages have arrived.
func (b *connectLoad) subscribe(site *site, client *Client, session int) error {
	channels := b.channelsOf(site, session)
	if b.missed.cursors == nil {
		return client.subscribe(channels...)
	}
	return client.resume(channels, b.missed.cursors[session*b.channels:], b.missed.messages)
}

// ownChannels returns the total number of channels.
func (b *connectLoad) ownChannels() int { return max(1, b.count*b.channels) }

// channelsOf returns the channels of a session.
func (b *connectLoad) channelsOf(site *site, session int) []string {
	channels := make([]string, max(1, b.channels))
	for k := range channels {
		channels[k] = site.channel(session*b.channels + k)
	}
	return channels
}

func (b *connectLoad) close() {
	for _, client := range b.clients {
		if client != nil {
			client.Close()
		}
	}
}

func (b *connectLoad) measure(ctx context.Context, site *site) (*Result, error) {
	defer b.close()
	if err := b.prepare(ctx, site); err != nil {
		return nil, err
	}
	latency := newLatencyRecorder()
	latency.on.Store(true)
	before, err := site.watch.read(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := b.connect(ctx, site, latency); err != nil {
		return nil, err
	}
	took := time.Since(began)
	after, err := site.watch.read(ctx)
	if err != nil {
		return nil, err
	}
	result := b.result(before, after)
	result.LatencyMS, result.LatencyMeaning = latency.summary(), fmt.Sprintf("from dialling to the confirmed subscription, for %d sessions at a time", b.atOnce)
	result.count("session", uint64(b.count), took, after.cpu-before.cpu)
	return result, nil
}

func (b *connectLoad) result(before, after usage) *Result {
	grown := float64(after.memory - before.memory)
	r := &Result{Sessions: b.count, MemoryBefore: before.memory, Memory: after.memory, MemorySession: grown / float64(b.count)}
	if n := b.subscriptions(); n != b.count {
		r.MemorySubscription = grown / float64(n)
	}
	return r
}

// idleLoad measures the memory of sessions that are subscribed and do nothing.
type idleLoad struct {
	connectLoad
	duration time.Duration
	reading  sync.WaitGroup
	lost     atomic.Uint64 // sessions that lost their connection
}

func (b *idleLoad) check() error {
	return errors.Join(b.connectLoad.check(), checkDurations(0, b.duration))
}

func (b *idleLoad) measure(ctx context.Context, site *site) (*Result, error) {
	if site.watch.blind() {
		return nil, errors.New("the memory of the gateway is not known: set --pid or --metrics")
	}
	b.lost.Store(0)
	b.attend = b.answerPings
	defer b.reading.Wait()
	defer b.close()
	if err := b.prepare(ctx, site); err != nil {
		return nil, err
	}
	before, err := site.watch.read(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.connect(ctx, site, newLatencyRecorder()); err != nil {
		return nil, err
	}
	began := time.Now()
	connected, err := site.watch.read(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := site.wait(ctx, b.duration, longestRun, "waiting; lost connections", b.lost.Load); err != nil {
		return nil, err
	}
	after, err := site.watch.read(ctx)
	if err != nil {
		return nil, err
	}
	result := b.result(before, after)
	result.Seconds, result.CPUSeconds = time.Since(began).Seconds(), (after.cpu - connected.cpu).Seconds()
	if result.Closed = int(b.lost.Load()); result.Closed > 0 {
		result.miss("%d of %d sessions lost their connection", result.Closed, b.count)
	}
	return result, nil
}

// answerPings starts a goroutine that reads from the session until its connection ends. It
// starts right after the session has subscribed, because the gateway pings the first
// sessions while others are still connecting.
func (b *idleLoad) answerPings(client *Client) {
	client.endless()
	b.reading.Go(func() {
		for {
			if _, err := client.Read(); err != nil {
				b.lost.Add(1)
				return
			}
		}
	})
}
