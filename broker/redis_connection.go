package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// connection is one life of a link. Any error ends it: what go-redis would
// restore by itself it would restore in silence.
type connection struct {
	// Fixed at birth.
	link     *link
	receiver Receiver
	pubsub   *redis.PubSub

	restored atomic.Bool // all that was subscribed before

	// Owned by receive.
	confirmed []string // of the batch of subscribes that is under way

	// Owned by send.
	heard  uint64 // of link.heard, at the last beat
	silent int    // beats
}

// A link that is silent for pingAfter beats is pinged, and given up after
// lostAfter.
const (
	beat      = time.Second
	pingAfter = 3
	lostAfter = 6
)

// mark is the ping that is sent behind the subscribes that a new connection
// begins with, however many come after. Redis answers in order: with its pong,
// all that was subscribed before is so again.
const mark = "tidegate: all subscribed"

// run connects, subscribes, and receives until something fails.
func (c *connection) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	client, err := c.dial(ctx)
	if err != nil {
		return fmt.Errorf("connect to redis: %w", err)
	}
	defer client.Close()
	c.link.begin(cancel)
	var reader sync.WaitGroup
	wall := c.link.broker.wall
	reader.Go(func() { cancel(wall(func() error { return c.receive(ctx) })) })
	err = wall(func() error { return c.send(ctx) })
	cancel(err)
	c.pubsub.Close()
	reader.Wait()
	return context.Cause(ctx)
}

func (c *connection) dial(ctx context.Context) (*redis.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*answerTimeout)
	defer cancel()
	topology := c.link.broker.topology
	address, err := topology.address(ctx, c.link.prefix)
	if err != nil {
		return nil, err
	}
	client := topology.once(address, c.receiver.Rest)
	c.pubsub = client.Subscribe(ctx)
	if err := c.pubsub.Ping(ctx); err != nil {
		c.pubsub.Close()
		client.Close()
		return nil, err
	}
	return client, nil
}

// receive hands over what arrives until the connection ends, and says why it
// did.
func (c *connection) receive(ctx context.Context) error {
	defer c.receiver.Rest() // the connection may have been closed before the next read
	for {
		reply, err := c.pubsub.Receive(ctx)
		if err != nil {
			return fmt.Errorf("receive from redis: %w", err)
		}
		c.link.heard.Add(1)
		if err := c.take(reply); err != nil {
			return err
		}
	}
}

func (c *connection) take(reply any) error {
	switch reply := reply.(type) {
	case *redis.Message:
		channel, ours := strings.CutPrefix(reply.Channel, c.link.prefix)
		if !ours {
			return fmt.Errorf("%w: a message on %.40q", errBrokenProtocol, reply.Channel)
		}
		m := DecodeEnvelope(channel, reply.Payload)
		c.link.trust.hear(&m)
		c.receiver.Receive(m)
	case *redis.Subscription:
		switch reply.Kind {
		case "subscribe", "ssubscribe":
			c.confirm(reply.Channel)
		default:
			return c.link.ended(reply.Channel)
		}
	case *redis.Pong:
		if reply.Payload == mark {
			c.restore()
		}
	}
	return nil
}

// confirm gathers a batch, so that the callers of subscribe, who may be many, and
// receive meet at one lock once.
func (c *connection) confirm(name string) {
	c.confirmed = append(c.confirmed, name)
	if len(c.confirmed) == int(c.link.unconfirmed.Load()) {
		c.link.confirmed(c.confirmed)
		c.confirmed = c.confirmed[:0]
	}
}

func (c *connection) restore() {
	c.restored.Store(true)
	if missed, reason := c.link.restore(); len(missed) > 0 {
		c.receiver.Gap(missed, reason)
	}
	c.link.broker.board.up(c.link)
}

// send subscribes, unsubscribes and pings until the connection ends, and says
// why it did.
func (c *connection) send(ctx context.Context) error {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		if err := c.sendBatch(ctx); err != nil {
			return fmt.Errorf("send to redis: %w", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.link.wake:
		case <-ticker.C:
			c.link.endLingering()
			if err := c.watch(ctx); err != nil {
				return err
			}
		}
	}
}

func (c *connection) sendBatch(ctx context.Context) error {
	now := c.link.nextSending()
	for part := range slices.Chunk(now.part, subscribeBatch) {
		if err := c.unsubscribe(ctx, part); err != nil {
			return err
		}
	}
	if len(now.join) > 0 {
		if err := c.subscribe(ctx, now.join); err != nil {
			return err
		}
	}
	if now.mark {
		if err := c.pubsub.Ping(ctx, mark); err != nil {
			return err
		}
	}
	if now.probe {
		c.silent = max(c.silent, lostAfter-2)
		return c.pubsub.Ping(ctx)
	}
	return nil
}

func (c *connection) subscribe(ctx context.Context, names []string) error {
	if c.link.broker.clustered {
		return c.pubsub.SSubscribe(ctx, names...)
	}
	return c.pubsub.Subscribe(ctx, names...)
}

func (c *connection) unsubscribe(ctx context.Context, names []string) error {
	if c.link.broker.clustered {
		return c.pubsub.SUnsubscribe(ctx, names...)
	}
	return c.pubsub.Unsubscribe(ctx, names...)
}

func (c *connection) watch(ctx context.Context) error {
	if heard := c.link.heard.Load(); heard != c.heard {
		c.heard, c.silent = heard, 0
		return nil
	}
	switch c.silent++; c.silent {
	case pingAfter:
		return c.pubsub.Ping(ctx)
	case lostAfter:
		return fmt.Errorf("redis link: %w: silent for %v", errNoAnswer, lostAfter*beat)
	}
	return nil
}
