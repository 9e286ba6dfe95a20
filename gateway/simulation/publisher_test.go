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

// fill publishes the first numbers at once, as a backend does without a gateway.
func (s *stream) fill(n int) {
	name, began := "tidegate:"+s.channel, time.Now()
	script := fmt.Sprintf("local function append() %s end local cursors = {} for n = 1, %d do ARGV[1] = tostring(n) cursors[n] = append() end return cursors",
		broker.AppendScript, n)
	said := s.world.redis().Do("EVAL", script, "2", name, name+" meta", "", "8000", "0")
	for i, cursor := range strings.Split(said, "\r\n")[1:] { // of an array of bulk strings
		if i%2 == 1 {
			s.published = append(s.published, publication{number: 1 + i/2, begun: began, ended: began, confirmed: true, tries: 1, cursor: cursor})
		}
	}
	if len(s.published) != n {
		panic(said) // an error
	}
}

// some returns a message that at least least and fewer than most have followed, if there is one and it
// has a cursor.
func (s *stream) some(random *rand.Rand, least, most int) (p publication, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if there := min(most, len(s.published)) - least; there > 0 {
		p = s.published[len(s.published)-1-least-random.IntN(there)]
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
