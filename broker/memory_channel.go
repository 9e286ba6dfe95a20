package broker

import (
	"crypto/rand"
	"iter"
	"slices"
	"strings"
	"time"

	"tidegate/broker/lock"
)

// memoryChannel is one channel of Memory.
type memoryChannel struct {
	mu lock.Mutex[lock.MemoryChannel] // held while a message is delivered, which keeps messages in order

	// Guarded by mu.
	subscribed bool
	used       time.Time
	top        Position      // zero if nothing has been published with a position
	former     Position      // the unborn position at the time the epoch began
	log        []memoryEntry // oldest first, with contiguous offsets
	ttl        time.Duration // of log; 0 if there is no limit
}

type memoryEntry struct {
	message Message
	at      time.Time
}

func (c *memoryChannel) publish(m Message, o PublishOptions, keys *memoryKeys, r Receiver, nothing func() Position, now time.Time) Position {
	if first, known := keys.position(m.Channel, m.Key, now); known {
		return first
	}
	key := m.Key
	m.Key = ""
	m.Position = Position{}
	if o.HistorySize > 0 {
		m.Position = c.append(m, o, nothing, now)
	}
	keys.remember(m.Channel, key, m.Position, now)
	if o.Bare && o.HistorySize == 0 {
		kind := m.Kind
		if m = m.Bare(); !passesForEnvelope(m.Payload) {
			kind = KindOf(m.Payload)
		}
		m.Kind = kind
	}
	if c.subscribed {
		r.Receive(m)
	}
	return m.Position
}

func (c *memoryChannel) append(m Message, o PublishOptions, nothing func() Position, now time.Time) Position {
	if c.top.IsZero() {
		c.top, c.former = Position{Epoch: newEpoch()}, nothing()
	}
	c.top.Offset++
	c.ttl = o.HistoryTTL
	m.Position = c.top
	c.log = append(c.log, memoryEntry{message: m, at: now})
	c.expire(now)
	c.drop(len(c.log) - o.HistorySize)
	return m.Position
}

// at returns the position of the channel. nothing is its position if it is unborn.
func (c *memoryChannel) at(nothing Position) Top {
	if c.top.IsZero() {
		return Top{Position: nothing}
	}
	return Top{Position: c.top, Former: c.former}
}

func (c *memoryChannel) since(after Position, most Most, nothing Position, now time.Time) Page {
	c.expire(now)
	top := c.at(nothing)
	page := Page{Top: top.Position, Former: top.Former}
	first := c.top.Offset + 1 - uint64(len(c.log)) // offset of log[0]
	skip := uint64(0)
	if after.Epoch == top.Epoch && first <= after.Offset && after.Offset <= top.Offset {
		skip = after.Offset - first + 1
	}
	page.Messages = most.of(slices.All(c.log[skip:]))
	page.lose(after)
	return page
}

func (c *memoryChannel) latest(most Most, nothing Position, now time.Time) Page {
	c.expire(now)
	top := c.at(nothing)
	page := Page{Top: top.Position, Former: top.Former, Messages: most.of(slices.Backward(c.log))}
	slices.Reverse(page.Messages)
	return page
}

// of returns the first entries that fit within the limits.
func (most Most) of(entries iter.Seq2[int, memoryEntry]) (messages []Message) {
	size := 0
	for _, entry := range entries {
		size += len(entry.message.Payload)
		if most.Messages > 0 && len(messages) == most.Messages || most.Bytes > 0 && size > most.Bytes && len(messages) > 0 {
			break
		}
		messages = append(messages, entry.message)
	}
	return messages
}

func (c *memoryChannel) expire(now time.Time) {
	if c.ttl == 0 {
		return
	}
	old := 0
	for old < len(c.log) && now.Sub(c.log[old].at) >= c.ttl {
		old++
	}
	c.drop(old)
}

func (c *memoryChannel) drop(n int) {
	if n <= 0 {
		return
	}
	clear(c.log[:n]) // the array may live on: release the payloads
	c.log = c.log[n:]
}

// memoryGrace is how long an epoch outlives the last use of its channel. It is longer than
// an unborn position is valid, which is stamped in minutes.
const memoryGrace = (unbornStamps + 1) * time.Minute

// forgettable reports whether removing the channel loses nothing but an epoch that nobody
// has asked for in a while.
func (c *memoryChannel) forgettable(now time.Time) bool {
	c.expire(now)
	old := c.top.IsZero() || now.Sub(c.used) >= memoryGrace
	return old && !c.subscribed && len(c.log) == 0
}

func newEpoch() string {
	return strings.ToLower(rand.Text()[:10])
}
