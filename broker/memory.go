package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"tidegate/broker/lock"
)

// Memory is a Broker, a History, a Presence and a Register within one process, for development and
// tests. The zero value is not usable: see NewMemory.
type Memory struct {
	// Fixed at birth.
	era      string // see unborn.go
	presence *memoryPresence

	// Guarded by mu. Held for reading while a message is delivered, so that
	// nothing is told once Run has returned.
	mu       lock.RWMutex[lock.Memory]
	receiver Receiver // nil while Run is not running
	channels map[string]*memoryChannel

	register memoryRegister
	keys     memoryKeys
}

var (
	_ Broker  = (*Memory)(nil)
	_ History = (*Memory)(nil)
)

// NewMemory returns a broker that carries messages once Run is running.
func NewMemory() *Memory {
	return &Memory{era: newEpoch(), channels: make(map[string]*memoryChannel), presence: newMemoryPresence()}
}

// memorySweep is how often channels that have nothing to keep are forgotten, and
// memoryGrace how long an epoch outlives the last use of its channel: longer than a
// position of nothing is good, which is stamped in minutes.
const (
	memorySweep = time.Minute
	memoryGrace = (unbornStamps + 1) * time.Minute
)

func (b *Memory) Run(ctx context.Context, r Receiver) error {
	b.mu.Lock()
	b.receiver = r
	b.mu.Unlock()
	r.Link(nil)
	b.sweepUntil(ctx)
	b.mu.Lock()
	b.receiver = nil
	b.mu.Unlock()
	return nil
}

func (b *Memory) Subscribe(ctx context.Context, channels ...string) error {
	var not NotSubscribed
	for _, channel := range channels {
		if err := b.on(ctx, "subscribe", channel, func(c *memoryChannel) { c.subscribed = true }); err != nil {
			not.add(channel, err)
		}
	}
	return not.orNil()
}

func (b *Memory) Unsubscribe(ctx context.Context, channel string) error {
	err := b.look(ctx, "unsubscribe", channel, func(c *memoryChannel) { c.subscribed = false })
	b.forget(channel, time.Now())
	if ctx.Err() == nil {
		return nil
	}
	return err
}

func (b *Memory) Publish(m Message, o PublishOptions, done func(Position, error)) {
	position, receiver, err := b.publish(context.Background(), m, o)
	done(position, err)
	if receiver != nil && !o.RestLater {
		receiver.Rest()
	}
}

// publish returns the receiver that was told, if one was.
func (b *Memory) publish(ctx context.Context, m Message, o PublishOptions) (position Position, receiver Receiver, err error) {
	if o.HistorySize == 0 && m.Key == "" && !b.known(m.Channel) {
		b.mu.RLock()
		defer b.mu.RUnlock()
		return Position{}, b.receiver, b.usable(ctx, "publish on", m.Channel)
	}
	if o.Replicas > 0 {
		return Position{}, nil, notPublished(m.Channel, errors.New("a memory has no replicas"))
	}
	err = b.on(ctx, "publish on", m.Channel, func(c *memoryChannel) {
		receiver = b.receiver
		position = c.publish(m, o, &b.keys, receiver, b.nothing, time.Now())
	})
	return position, receiver, err
}

func (b *Memory) Since(ctx context.Context, channel string, after Position, most Most) (Page, error) {
	var page Page
	err := b.look(ctx, "read history of", channel, func(c *memoryChannel) {
		page = c.since(after, most, b.nothing(), time.Now())
	})
	return page, err
}

func (b *Memory) Latest(ctx context.Context, channel string, most Most) (Page, error) {
	var page Page
	err := b.look(ctx, "read history of", channel, func(c *memoryChannel) {
		page = c.latest(most, b.nothing(), time.Now())
	})
	return page, err
}

func (b *Memory) Tops(ctx context.Context, channels []string) ([]Top, error) {
	tops := make([]Top, len(channels))
	for i, channel := range channels {
		err := b.look(ctx, "read history of", channel, func(c *memoryChannel) { tops[i] = c.at(b.nothing()) })
		if err != nil {
			return nil, err
		}
	}
	return tops, nil
}

func (b *Memory) Clear(ctx context.Context, channel string) error {
	return b.look(ctx, "clear history of", channel, func(c *memoryChannel) { c.log = nil })
}

// nothing is the position of a channel that nobody has published on.
func (b *Memory) nothing() Position {
	return unborn(b.era, time.Now().Unix()/60)
}

// on calls f with the channel, which is made if there is none, while nobody else
// has it.
func (b *Memory) on(ctx context.Context, verb, channel string, f func(*memoryChannel)) error {
	for {
		b.makeChannel(channel)
		done := false
		err := b.visit(ctx, verb, channel, func(c *memoryChannel) {
			if done = c != nil; done { // else it was forgotten meanwhile
				f(c)
			}
		})
		if err != nil || done {
			return err
		}
	}
}

// look is on for what makes no channel: f is called with an empty one if there is
// none.
func (b *Memory) look(ctx context.Context, verb, channel string, f func(*memoryChannel)) error {
	return b.visit(ctx, verb, channel, func(c *memoryChannel) {
		if c == nil {
			c = &memoryChannel{}
		}
		f(c)
	})
}

// visit calls f with the channel, or nil, while nobody else has it.
func (b *Memory) visit(ctx context.Context, verb, channel string, f func(*memoryChannel)) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if err := b.usable(ctx, verb, channel); err != nil {
		return err
	}
	c := b.channels[channel]
	if c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.used = time.Now()
	}
	f(c)
	return nil
}

// usable is called with mu held.
func (b *Memory) usable(ctx context.Context, verb, channel string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %q: %w: %w", verb, channel, ErrUnavailable, err)
	}
	if b.receiver == nil {
		return fmt.Errorf("%s %q: %w: not running", verb, channel, ErrUnavailable)
	}
	return nil
}

func (b *Memory) known(channel string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.channels[channel] != nil
}

func (b *Memory) makeChannel(channel string) {
	if b.known(channel) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.channels[channel] == nil {
		b.channels[strings.Clone(channel)] = &memoryChannel{used: time.Now()}
	}
}

func (b *Memory) sweepUntil(ctx context.Context) {
	ticker := time.NewTicker(memorySweep)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			b.sweep(now)
		}
	}
}

func (b *Memory) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, channel := range b.channels {
		if channel.forgettable(now) {
			delete(b.channels, name)
		}
	}
}

// forget lets go of a channel that there is nothing to keep of.
func (b *Memory) forget(channel string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.channels[channel]; c != nil && c.forgettable(now) {
		delete(b.channels, channel)
	}
}

func newEpoch() string {
	return strings.ToLower(rand.Text()[:10])
}
