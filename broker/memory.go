package broker

import (
	"context"
	"errors"
	"time"
)

// Memory is a Broker, History, Presence and Register within one process, for development
// and tests. The zero value is not usable: see NewMemory.
type Memory struct {
	*memoryPresence
	memoryRegister

	channels *memoryChannels
	keys     *memoryKeys
}

var (
	_ Broker   = (*Memory)(nil)
	_ History  = (*Memory)(nil)
	_ Presence = (*Memory)(nil)
	_ Register = (*Memory)(nil)
)

// NewMemory returns a Memory, which carries messages while Run is running.
func NewMemory() *Memory {
	b := &Memory{channels: newMemoryChannels(), keys: &memoryKeys{}}
	b.memoryPresence = newMemoryPresence(b.channels, b.keys)
	return b
}

func (b *Memory) Run(ctx context.Context, r Receiver) error {
	b.channels.tell(r)
	r.Link(nil)
	b.channels.sweepUntil(ctx)
	b.channels.tell(nil)
	return nil
}

func (b *Memory) Subscribe(ctx context.Context, channels ...string) error {
	not := make(NotSubscribed)
	for _, channel := range channels {
		if err := b.channels.on(ctx, "subscribe", channel, func(c *memoryChannel) { c.subscribed = true }); err != nil {
			not[channel] = err
		}
	}
	return not.orNil()
}

func (b *Memory) Unsubscribe(ctx context.Context, channel string) error {
	err := b.channels.look(ctx, "unsubscribe", channel, func(c *memoryChannel) { c.subscribed = false })
	b.channels.forget(channel, time.Now())
	if ctx.Err() == nil {
		return nil
	}
	return err
}

func (b *Memory) Publish(m Message, o PublishOptions, done func(Position, error)) {
	if o.Replicas > 0 {
		done(Position{}, notPublished(m.Channel, errors.New("a memory has no replicas")))
		return
	}
	visit := b.channels.on
	if o.HistorySize == 0 && m.Key == "" {
		visit = b.channels.look
	}
	var position Position
	var receiver Receiver
	err := visit(context.Background(), "publish on", m.Channel, func(c *memoryChannel) {
		receiver = b.channels.receiver
		position = c.publish(m, o, b.keys, receiver, b.channels.nothing, time.Now())
	})
	done(position, err)
	if receiver != nil && !o.RestLater {
		receiver.Rest()
	}
}

func (b *Memory) Since(ctx context.Context, channel string, after Position, most Most) (Page, error) {
	var page Page
	err := b.channels.look(ctx, "read history of", channel, func(c *memoryChannel) {
		page = c.since(after, most, b.channels.nothing(), time.Now())
	})
	return page, err
}

func (b *Memory) Latest(ctx context.Context, channel string, most Most) (Page, error) {
	var page Page
	err := b.channels.look(ctx, "read history of", channel, func(c *memoryChannel) {
		page = c.latest(most, b.channels.nothing(), time.Now())
	})
	return page, err
}

func (b *Memory) Tops(ctx context.Context, channels []string) ([]Top, error) {
	tops := make([]Top, len(channels))
	for i, channel := range channels {
		err := b.channels.look(ctx, "read history of", channel, func(c *memoryChannel) { tops[i] = c.at(b.channels.nothing()) })
		if err != nil {
			return nil, err
		}
	}
	return tops, nil
}

func (b *Memory) Clear(ctx context.Context, channel string) error {
	return b.channels.look(ctx, "clear history of", channel, func(c *memoryChannel) { c.log = nil })
}
