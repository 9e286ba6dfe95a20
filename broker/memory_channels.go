package broker

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"tidegate/broker/lock"
	"time"
)

// memoryChannels holds the channels of Memory and the receiver of their messages. All
// methods are safe for concurrent use.
type memoryChannels struct {
	era string // immutable; see unborn.go

	// Guarded by mu, which is held for reading while a message is delivered, so that the
	// receiver gets nothing after Run has returned.
	mu       lock.RWMutex[lock.Memory]
	receiver Receiver // nil unless Run is running
	channels map[string]*memoryChannel
}

func newMemoryChannels() *memoryChannels {
	return &memoryChannels{era: newEpoch(), channels: make(map[string]*memoryChannel)}
}

// tell sets the receiver of messages. nil means that nobody receives them.
func (b *memoryChannels) tell(r Receiver) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.receiver = r
}

// nothing returns the unborn position, that of a channel which nobody has published on.
func (b *memoryChannels) nothing() Position {
	return unborn(b.era, time.Now().Unix()/60)
}

// running returns an error if ctx has ended or Run is not running.
func (b *memoryChannels) running(ctx context.Context, verb, what string) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.usable(ctx, verb, what)
}

// receive delivers a message that is published without a position in the channel's history.
func (b *memoryChannels) receive(m Message) {
	_ = b.look(context.Background(), "publish on", m.Channel, func(c *memoryChannel) { // an error means that Run has ended
		if c.subscribed {
			b.receiver.Receive(m)
		}
	})
}

// on calls f with the channel locked. It creates the channel if it does not exist.
func (b *memoryChannels) on(ctx context.Context, verb, channel string, f func(*memoryChannel)) error {
	for {
		missing := false
		err := b.visit(ctx, verb, channel, func(c *memoryChannel) {
			if missing = c == nil; !missing {
				f(c)
			}
		})
		if err != nil || !missing {
			return err
		}
		b.makeChannel(channel)
	}
}

// look is like on but creates no channel: if there is none, it calls f with an empty one.
func (b *memoryChannels) look(ctx context.Context, verb, channel string, f func(*memoryChannel)) error {
	return b.visit(ctx, verb, channel, func(c *memoryChannel) {
		if c == nil {
			c = &memoryChannel{}
		}
		f(c)
	})
}

// visit calls f with the channel locked, or with nil if it does not exist.
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

// usable is like running. The caller must hold mu.
func (b *memoryChannels) usable(ctx context.Context, verb, channel string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %q: %w: %w", verb, channel, ErrUnavailable, err)
	}
	if b.receiver == nil {
		return fmt.Errorf("%s %q: %w: not running", verb, channel, ErrUnavailable)
	}
	return nil
}

func (b *memoryChannels) makeChannel(channel string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.channels[channel] == nil {
		b.channels[strings.Clone(channel)] = &memoryChannel{used: time.Now()}
	}
}

const memorySweep = time.Minute // between two removals of channels that have nothing to keep

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
	maps.DeleteFunc(b.channels, func(_ string, c *memoryChannel) bool { return c.forgettable(now) })
}

// forget removes the channel if it has nothing to keep.
func (b *memoryChannels) forget(channel string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.channels[channel]; c != nil && c.forgettable(now) {
		delete(b.channels, channel)
	}
}
