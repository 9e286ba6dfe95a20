package broker

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Memory is a Broker, a History and a Presence within one process, for development and
// tests. The zero value is not usable: see NewMemory.
type Memory struct {
	// Guarded by mu. Held for reading while a message is delivered, so that
	// nothing is told once Run has returned.
	mu       sync.RWMutex
	receiver Receiver // nil while Run is not running
	channels map[string]*memoryChannel
}

var (
	_ Broker  = (*Memory)(nil)
	_ History = (*Memory)(nil)
)

// NewMemory returns a broker that carries messages once Run is running.
func NewMemory() *Memory {
	return &Memory{channels: make(map[string]*memoryChannel)}
}

// memorySweep is how often channels that have nothing to keep are forgotten,
// and memoryGrace how long an epoch outlives the last use of its channel.
const (
	memorySweep = time.Minute
	memoryGrace = 10 * time.Minute
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
		if err := b.setSubscribed(ctx, channel, true); err != nil {
			not.add(channel, err)
		}
	}
	return not.orNil()
}

func (b *Memory) Unsubscribe(ctx context.Context, channel string) error {
	err := b.setSubscribed(ctx, channel, false)
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
	err = b.on(ctx, "publish on", m.Channel, func(c *memoryChannel) {
		receiver = b.receiver
		position = c.publish(m, o, receiver, time.Now())
	})
	return position, receiver, err
}

func (b *Memory) Since(ctx context.Context, channel string, after Position, most Most) (Page, error) {
	var page Page
	err := b.on(ctx, "read history of", channel, func(c *memoryChannel) {
		page = c.since(after, most, time.Now())
	})
	return page, err
}

func (b *Memory) Latest(ctx context.Context, channel string, most Most) (Page, error) {
	var page Page
	err := b.on(ctx, "read history of", channel, func(c *memoryChannel) {
		page = c.latest(most, time.Now())
	})
	return page, err
}

func (b *Memory) Tops(ctx context.Context, channels []string) ([]Top, error) {
	tops := make([]Top, len(channels))
	for i, channel := range channels {
		err := b.on(ctx, "read history of", channel, func(c *memoryChannel) { tops[i].Position = c.top })
		if err != nil {
			return nil, err
		}
	}
	return tops, nil
}

func (b *Memory) Clear(ctx context.Context, channel string) error {
	return b.on(ctx, "clear history of", channel, func(c *memoryChannel) { c.log = nil })
}

func (b *Memory) setSubscribed(ctx context.Context, channel string, subscribed bool) error {
	return b.on(ctx, "subscribe", channel, func(c *memoryChannel) { c.subscribed = subscribed })
}

// on calls f with the channel, which is made if there is none, while nobody else
// has it.
func (b *Memory) on(ctx context.Context, verb, channel string, f func(*memoryChannel)) error {
	b.makeChannel(channel)
	b.mu.RLock()
	defer b.mu.RUnlock()
	if err := b.usable(ctx, verb, channel); err != nil {
		return err
	}
	c := b.channels[channel]
	if c == nil {
		return fmt.Errorf("%s %q: %w: forgotten meanwhile", verb, channel, ErrUnavailable)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = time.Now()
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
		b.channels[strings.Clone(channel)] = &memoryChannel{top: Position{Epoch: newEpoch()}, used: time.Now()}
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

func newEpoch() string {
	return strings.ToLower(rand.Text()[:10])
}
