package simulation_test

import (
	"context"
	"time"

	"tidegate/gateway"
)

// grantedTongue is the native protocol for clients that subscribe again and again: when they
// connect, for no reason, and when a backend has granted or taken back their channel, which it
// does to half of them all the time. What a client hears between a subscribe and its reply belongs to
// the subscription that it had before. It counts only if the subscribe fails, because the reply
// says where messages begin.
type grantedTongue struct{ nativeTongue }

func (grantedTongue) String() string { return "granted" }

func (t grantedTongue) first(c *client) string {
	c.between = [][]byte{}
	return t.nativeTongue.first(c)
}

func (t grantedTongue) hear(c *client, line []byte) (say string, stays bool) {
	var f struct {
		Type, Channel string
		ID            int
	}
	if !c.parse(line, &f) {
		return "", false
	}
	mine := f.Channel == c.stream.channel
	switch {
	case f.ID != 0:
		between := c.between
		c.between = nil
		if f.Type != "error" {
			return t.nativeTongue.hear(c, line)
		}
		return t.adopt(c, line, between)
	case c.between != nil && mine:
		c.between = append(c.between, line)
		return "", true
	case f.Type == "unsubscribed" && mine:
		c.world.sees("client has lost its channel")
		if c.random.IntN(2) == 0 {
			return "", true // it waits for the next grant
		}
		return t.again(c), true
	case f.Type == "subscribed" && mine:
		c.world.sees("client was granted its channel, and subscribes to it")
		return t.again(c), true
	case f.Type == "message" && mine && c.random.IntN(30) == 0:
		_, stays := t.nativeTongue.hear(c, line)
		say = t.again(c)
		c.answered = true // it is on the channel, whether this fails or not
		return say, stays
	}
	return t.nativeTongue.hear(c, line)
}

// adopt hears what has come before the error that answers a subscribe. It disconnects if the
// client has needed the subscribe.
func (t grantedTongue) adopt(c *client, refusal []byte, between [][]byte) (say string, stays bool) {
	if !c.answered {
		return t.nativeTongue.hear(c, refusal)
	}
	for _, line := range between {
		if say, stays = t.hear(c, line); !stays || c.between != nil {
			return say, stays // if it subscribes again, the rest does not count
		}
	}
	return "", true
}

// again subscribes again, from the last message on.
func (t grantedTongue) again(c *client) string {
	c.world.sees("client subscribes again")
	return t.first(c)
}

// patronize grants the channels of half of the clients with a grantedTongue, and takes them back,
// until restless ends. Then it grants all of them.
func (w *world) patronize(ctx, restless context.Context) {
	random := w.random("backend")
	var granted []*client
	for _, c := range w.clients {
		if (c.tongue == grantedTongue{}) {
			granted = append(granted, c)
		}
	}
	granted = granted[:len(granted)/2] // for the others, no grant makes good what a subscribe has spoilt
	node := func() *node { return w.nodes[random.IntN(len(w.nodes))].current() }
	for pause(restless, between(random, 50*time.Millisecond, 500*time.Millisecond)) {
		n, c := node(), granted[random.IntN(len(granted))]
		switch {
		case random.IntN(4) > 0:
			n.give(ctx, c)
		default:
			n.takeBack(ctx, c)
		}
	}
	pause(ctx, 5*time.Second) // what was taken back may be on its way
	for _, c := range granted {
		for !node().give(ctx, c) && pause(ctx, time.Second) {
		}
	}
}

// give grants the client its channel, and reports whether the node confirms that. A nil node
// does not.
func (n *node) give(ctx context.Context, c *client) bool {
	return n.reach(ctx, c, "granted", func(ctx context.Context, of gateway.Whose) (int, error) {
		return n.Users.Subscribe(ctx, of, gateway.Grant{Channel: c.stream.channel})
	})
}

// takeBack removes the client from its channel.
func (n *node) takeBack(ctx context.Context, c *client) {
	n.reach(ctx, c, "taken back", func(ctx context.Context, of gateway.Whose) (int, error) {
		return n.Users.Unsubscribe(ctx, of, c.stream.channel)
	})
}

func (n *node) reach(ctx context.Context, c *client, what string, do func(context.Context, gateway.Whose) (int, error)) bool {
	if n == nil {
		return false
	}
	ctx, end := context.WithTimeout(ctx, 5*time.Second)
	defer end()
	reached, err := do(ctx, gateway.Whose{User: c.name})
	if err != nil {
		c.world.sees("not " + what + ": " + string(gateway.ErrorOf(err).Code))
	}
	c.world.add(what, reached)
	return err == nil
}
