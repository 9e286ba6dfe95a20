package broker

import (
	"context"
	"fmt"
	"strings"
	"tidegate/broker/lock"
	"time"
)

// memoryChannels are those of Memory, and who is told of them. All methods may be called
// concurrently.
type memoryChannels struct {
	era string // fixed at birth; see unborn.go

	// Guarded by mu. Held for reading while a message is delivered, so that
	// nothing is told once Run has returned.
	mu       lock.RWMutex[lock.Memory]
	receiver Receiver // nil while Run is not running
	channels map[string]*memoryChannel
}

func newMemoryChannels() *memoryChannels {
	return &memoryChannels{era: newEpoch(), channels: make(map[string]*memoryChannel)}
}

// tell names who is told of messages from now on; nil: nobody.
func (b *memoryChannels) tell(r Receiver) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.receiver = r
}

// nothing is the position of a channel that nobody has published on.
func (b *memoryChannels) nothing() Position {
	return unborn(b.era, time.Now().Unix()/60)
}

// listener returns who is told of messages, unless nobody is.
func (b *memoryChannels) listener(ctx context.Context, verb, channel string) (Receiver, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.receiver, b.usable(ctx, verb, channel)
}

// receive hands over what is published without a position of the channel's.
func (b *memoryChannels) receive(ctx context.Context, m Message) {
	if !b.known(m.Channel) {
		return
	}
	_ = b.on(ctx, "publish on", m.Channel, func(c *memoryChannel) { // or who listens has ended
		if c.subscribed {
			b.receiver.Receive(m)
		}
	})
}

// on calls f with the channel, which is made if there is none, while nobody else
// has it.
func (b *memoryChannels) on(ctx context.Context, verb, channel string, f func(*memoryChannel)) error {
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
func (b *memoryChannels) look(ctx context.Context, verb, channel string, f func(*memoryChannel)) error {
	return b.visit(ctx, verb, channel, func(c *memoryChannel) {
		if c == nil {
			c = &memoryChannel{}
		}
		f(c)
	})
}

// visit calls f with the channel, or nil, while nobody else has it.
func (b *memoryChannels) visit(ctx context.Context, verb, channel string, f func(*memoryChannel)) error {
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
func (b *memoryChannels) usable(ctx context.Context, verb, channel string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %q: %w: %w", verb, channel, ErrUnavailable, err)
	}
	if b.receiver == nil {
		return fmt.Errorf("%s %q: %w: not running", verb, channel, ErrUnavailable)
	}
	return nil
}

func (b *memoryChannels) known(channel string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.channels[channel] != nil
}

func (b *memoryChannels) makeChannel(channel string) {
	if b.known(channel) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.channels[channel] == nil {
		b.channels[strings.Clone(channel)] = &memoryChannel{used: time.Now()}
	}
}

const memorySweep = time.Minute // how often channels that have nothing to keep are forgotten

func (b *memoryChannels) sweepUntil(ctx context.Context) {
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

func (b *memoryChannels) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, channel := range b.channels {
		if channel.forgettable(now) {
			delete(b.channels, name)
		}
	}
}

// forget lets go of a channel that there is nothing to keep of.
func (b *memoryChannels) forget(channel string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.channels[channel]; c != nil && c.forgettable(now) {
		delete(b.channels, channel)
	}
}
