package simulation_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
)

// stream is the publisher of one channel. It publishes the numbers from 1 on, one after the
// other.
type stream struct {
	// Immutable.
	world   *world
	channel string
	every   time.Duration
	random  *rand.Rand

	// Guarded by mu.
	mu        sync.Mutex
	published []publication // in order
	deleted   []time.Time   // when Redis was told to delete all of it
}

// publication is one published number.
type publication struct {
	number    int
	begun     time.Time
	ended     time.Time
	confirmed bool
	tries     int
	cursor    string // from the confirmation; may be empty
}

func newStream(w *world, channel string, every time.Duration) *stream {
	return &stream{world: w, channel: channel, every: every, random: w.random(channel)}
}

// kept reports whether the channel has a history. whole reports whether the history is large
// enough for all messages of a story.
func (s *stream) kept() bool  { return !strings.HasPrefix(s.channel, "live:") }
func (s *stream) whole() bool { return strings.HasPrefix(s.channel, "kept:") }

// publish publishes until ctx ends.
func (s *stream) publish(ctx context.Context) {
	for number := len(s.published) + 1; ctx.Err() == nil; number++ {
		p := publication{number: number, begun: time.Now()}
		s.insist(ctx, &p)
		p.ended = time.Now()
		s.mu.Lock()
		s.published = append(s.published, p)
		s.mu.Unlock()
		pause(ctx, between(s.random, s.every/2, 2*s.every))
	}
}

// fill publishes numbers at once, as a backend does without a gateway.
func (s *stream) fill(n int) {
	name := "tidegate:" + s.channel
	for range n {
		p := publication{number: len(s.published) + 1, begun: time.Now(), ended: time.Now(), confirmed: true, tries: 1}
		reply := s.world.redis().Do("EVAL", broker.AppendScript, "2", name, name+" meta", fmt.Sprint(p.number), "5000", "0")
		p.cursor = strings.Split(reply, "\r\n")[1] // of a bulk string
		s.published = append(s.published, p)
	}
}

// some returns a message that has a cursor, if there is one.
func (s *stream) some(random *rand.Rand) (p publication, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.published) > 0 {
		p = s.published[random.IntN(len(s.published))]
	}
	return p, p.cursor != ""
}

// insist publishes a number. On a channel with history in a gentle story, where Redis cannot
// lose the idempotency key, it retries with the same key until the number is confirmed.
func (s *stream) insist(ctx context.Context, p *publication) {
	for {
		n := s.world.nodes[s.random.IntN(len(s.world.nodes))].current()
		if n != nil {
			p.tries++
			p.cursor, p.confirmed = s.try(n, p.number)
		}
		if p.confirmed || ctx.Err() != nil || n != nil && !(s.kept() && s.world.gentle) {
			return
		}
		pause(ctx, between(s.random, 50*time.Millisecond, 300*time.Millisecond))
	}
}

// answerWithin is the maximum duration of a publish.
const answerWithin = 1100 * time.Millisecond

func (s *stream) try(n *node, number int) (cursor string, confirmed bool) {
	began := time.Now()
	c := gateway.Publish{Channel: s.channel, Payload: fmt.Append(nil, number), Kind: broker.JSON}
	if s.kept() {
		c.Key = fmt.Sprint("n", number)
	}
	position, err := n.Publish(context.Background(), &backend, c)
	if took := time.Since(began); took > answerWithin {
		s.world.blame("a publish on %s was answered after %v: %v", s.channel, took, err)
	}
	n.mu.Lock()
	dead := n.dead
	n.mu.Unlock()
	if dead {
		return "", false // the node was killed, so the reply is lost
	}
	if err != nil {
		s.world.note("%s %d on %s: %v", s.channel, number, n.Node(), err)
		s.world.sees("publish: " + string(gateway.ErrorOf(err).Code))
	}
	return position.String(), err == nil
}

var backend = gateway.Principal{Key: "simulation"}
