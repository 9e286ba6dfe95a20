package simulation_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/broker/simredis"
	"tidegate/gateway"
	"tidegate/gateway/pusher"
	"tidegate/gateway/rules"
	"tidegate/metrics"
)

// slot is a place for a node. After a node has ended, another one may start in it.
type slot struct {
	world *world
	index int

	// Guarded by mu.
	mu   sync.Mutex
	node *node // nil if none runs
	runs int   // number of nodes so far

	mends atomic.Int64 // how often its way was repaired
}

// node is a running gateway.
type node struct {
	*gateway.Gateway
	way     *simredis.Way
	apps    *pusher.Apps
	metrics *metrics.Metrics
	end     context.CancelFunc
	saying  atomic.Int64 // number of messages that halting has encoded

	// Guarded by mu.
	mu    sync.Mutex
	dead  bool
	apart bool // whether it is cut off from all clients
	conns map[*conn]struct{}
	gave  map[*stream][]gift
}

// gift is a message that a client was the first on its node to hear.
type gift struct {
	at     time.Time
	number int
}

// gives records that a client has heard a message.
func (n *node) gives(s *stream, number int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if list := n.gave[s]; len(list) == 0 || list[len(list)-1].number < number {
		n.gave[s] = append(list, gift{time.Now(), number})
	}
}

// given returns the number of the last message that some client was the first to hear between
// two times, or 0 if there is none.
func (n *node) given(s *stream, from, to time.Time) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range slices.Backward(n.gave[s]) {
		if g.at.After(from) && g.at.Before(to) {
			return g.number
		}
	}
	return 0
}

var simRules = rules.List{
	{Match: "kept:*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 8000, Presence: true, JoinLeave: true},
	{Match: "short:*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 20, Presence: true, JoinLeave: true},
	{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, Presence: true, JoinLeave: true},
}

// start starts a node in the slot.
func (s *slot) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	name := fmt.Sprintf("n%d-%d", s.index, s.runs)
	n := &node{way: s.world.servers.NewWay(s.world.random(name).Uint64(), time.Millisecond), apps: newApps(), metrics: metrics.New(""), conns: make(map[*conn]struct{}), gave: make(map[*stream][]gift)}
	log := slog.New(storyLog{s.world, name})
	b, err := broker.NewRedis(broker.RedisConfig{
		URL: "redis://" + redisAddress, Dial: n.way.Dial, Log: log, Connections: 2,
		Observe: broker.RedisObserver{
			RoundTrip: func(d time.Duration) { n.metrics.Broker.RoundTrip.Observe(d.Seconds()) },
			Reconnect: n.metrics.Broker.Reconnects.Inc, Refused: n.metrics.Broker.Errors.Count, Panic: n.metrics.Panics.Inc,
		},
	})
	if err != nil {
		panic(err)
	}
	if n.Gateway, err = gateway.New(gateway.Config{
		Broker: b, History: b, Presence: b, Register: b, Rules: simRules, Node: name,
		Log: log, Metrics: n.metrics, DrainWindow: 2 * time.Second, Limits: gateway.Limits{OutboxBytes: s.outboxBytes()},
	}); err != nil {
		panic(err)
	}
	ctx, end := context.WithCancel(context.Background())
	n.end = end
	s.node = n
	s.world.living.Go(func() {
		if err := n.Run(ctx); err != nil {
			s.world.blame("node %s: %v", name, err)
		}
		s.world.count(n)
	})
}

// outboxBytes is little, so that sessions wait for room, or so much that a page of the history has room.
func (s *slot) outboxBytes() int {
	if s.world.random(fmt.Sprint("outbox ", s.index, " ", s.runs)).IntN(2) == 0 {
		return 128 << 10
	}
	return 1 << 10
}

// take removes the node from the slot and returns it, or nil if none runs.
func (s *slot) take() *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.node
	s.node = nil
	return n
}

func (s *slot) current() *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

// tamper calls what with the way of the node that runs, if any.
func (s *slot) tamper(what func(*simredis.Way)) {
	if n := s.current(); n != nil {
		what(n.way)
	}
}

// kill ends the node like SIGKILL: it sends nothing more to anybody.
func (s *slot) kill() {
	n := s.take()
	if n == nil {
		return
	}
	n.way.Break()
	n.mu.Lock()
	n.dead = true
	conns := n.conns
	n.conns = make(map[*conn]struct{})
	n.mu.Unlock()
	for c := range conns {
		c.sever()
	}
	n.end()
}

// part cuts the node off from all clients, or reconnects it. Connections stay open, but data
// to the clients is held back.
func (n *node) part(apart bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.apart = apart
	for c := range n.conns {
		c.hold(apart)
	}
}

// drain ends the node like SIGTERM.
func (s *slot) drain() {
	n := s.take()
	if n == nil {
		return
	}
	_ = n.Shutdown(context.Background())
	n.end()
}

// admit starts to serve a client's connection. It returns false if the node is dead or cut
// off.
func (n *node) admit(c *client, over *conn) bool {
	n.mu.Lock()
	if n.dead || n.apart {
		n.mu.Unlock()
		return false
	}
	n.conns[over] = struct{}{}
	over.node = n
	n.mu.Unlock()
	c.world.living.Go(func() {
		c.tongue.serve(n, c, over)
		n.mu.Lock()
		delete(n.conns, over)
		n.mu.Unlock()
	})
	return true
}

// serve stands in for the transport of a protocol with frames. It returns when the session has
// ended.
func (n *node) serve(c *conn, hello gateway.Hello) {
	ctx := context.Background()
	hello.Protocol, hello.Transport = lines{hello.Protocol}, "simulated"
	s, err := n.Open(ctx, hello)
	if err != nil {
		c.sever()
		return
	}
	s.Attach(c)
	for {
		s.Rest()
		frame, err := c.Read(ctx)
		if err == nil {
			err = s.Receive(ctx, frame)
		}
		if err != nil {
			s.End(err)
			return
		}
	}
}

// storyLog adds the log of a node to the lines of the story.
type storyLog struct {
	world *world
	node  string
}

func (storyLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l storyLog) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	l.world.note("%s: %s", l.node, text)
	l.world.sees("log: " + strings.TrimSpace(r.Message))
	return nil
}

func (l storyLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l storyLog) WithGroup(string) slog.Handler      { return l }
