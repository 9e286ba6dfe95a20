package simulation_test

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker/simredis"
)

// world is the state of one story: nodes, their Redis, clients, publishers and faults. All
// random choices derive from its seed.
type world struct {
	// Immutable once the story has begun.
	t       *testing.T
	seed    uint64
	began   time.Time
	gentle  bool // whether no fault makes Redis lose data
	plan    []blow
	servers *simredis.Servers
	nodes   []*slot
	streams []*stream
	clients []*client
	living  sync.WaitGroup // clients, nodes, connections

	quiet     atomic.Bool      // whether clients with a grantedTongue only listen
	granting  atomic.Bool      // whether a backend grants clients their channels now and then
	striking  sync.WaitGroup   // faults
	replacing chan struct{}    // semaphore for replacing the process of Redis
	former    *simredis.Server // the server that switchOver replaced; guarded by replacing

	// Guarded by mu.
	mu    sync.Mutex
	lines []string       // what happened
	seen  map[string]int // counts of rare events
	wrong []string       // violations of the law
}

const redisAddress = "redis:6379"

// lengths are the durations of the parts of a story.
type lengths struct {
	faults   time.Duration
	settling time.Duration // calm at the end; exceeds a lease and the timeout for silent peers
}

const (
	calm      = 20 * time.Second // between the faults and the last one
	lease     = 30 * time.Second // of nodes
	nodeCount = 3
)

// tell runs the story of the guard's seed from beginning to end, with the faults whose numbers
// are in only, or with all of them if only is nil. It must be called in a synctest bubble.
func tell(t *testing.T, g *guard, last lengths, only []int) *world {
	seed := g.seed
	told, stop := context.WithCancel(context.Background())
	defer stop()
	go g.beat(told, last)
	w := &world{t: t, seed: seed, began: time.Now(), servers: simredis.New(seed), seen: make(map[string]int), replacing: make(chan struct{}, 1)}
	w.servers.Start(redisAddress)
	random := w.random("world")
	w.gentle = random.IntN(2) == 0
	w.plan = planOf(w.random("faults"), last.faults, w.gentle)
	w.plan = append(w.plan, lastOf(w.random(fmt.Sprint("last of ", seed)), len(w.plan)+1, last.faults, w.gentle))
	w.plan = append(w.plan, unreadables(w.random("unreadable"), len(w.plan)+1, last.faults)...)
	slices.SortStableFunc(w.plan, func(a, b blow) int { return cmp.Compare(a.at, b.at) })
	if only != nil {
		w.plan = slices.DeleteFunc(w.plan, func(b blow) bool { return !slices.Contains(only, b.number) })
	}
	ctx, end := context.WithCancel(context.Background())
	restless, rest := context.WithCancel(ctx)
	for i := range nodeCount {
		w.nodes = append(w.nodes, &slot{world: w, index: i})
		w.nodes[i].start()
	}
	time.Sleep(2 * time.Second)
	w.populate(random)
	for _, c := range w.clients {
		w.living.Go(func() { c.live(ctx, restless) })
	}
	w.granting.Store(true)
	for _, c := range w.clients {
		if c.fickle.patron {
			w.living.Go(func() { w.patronize(ctx, restless, c) })
		}
	}
	publishing, endPublishing := context.WithCancel(ctx)
	var publishers sync.WaitGroup
	for _, s := range w.streams {
		publishers.Go(func() { s.publish(publishing) })
	}
	w.note("gentle: %v", w.gentle)
	w.strike(time.Now(), 0, last.faults)
	rest()
	w.granting.Store(false)
	w.strike(time.Now().Add(-last.faults), last.faults, last.faults+calm+1)
	time.Sleep(max(0, last.settling-longestToken))
	w.quiet.Store(true)
	time.Sleep(min(last.settling, longestToken))
	endPublishing()
	publishers.Wait()
	w.checkCalm()
	w.checkNodes()
	end()
	for _, n := range w.nodes {
		n.drain()
	}
	w.living.Wait()
	w.judge()
	w.checkBusy()
	w.servers.Close()
	synctest.Wait()
	return w
}

// random returns a generator for one actor, so that the order in which actors draw numbers does
// not matter.
func (w *world) random(actor string) *rand.Rand {
	hash := fnv.New64a()
	hash.Write([]byte(actor))
	return rand.New(rand.NewPCG(w.seed, hash.Sum64()))
}

func (w *world) populate(random *rand.Rand) {
	for _, channel := range []string{"kept:a", "kept:b", "live:a", "live:b"} {
		w.streams = append(w.streams, newStream(w, channel, time.Duration(100+random.IntN(400))*time.Millisecond))
	}
	kinds := []string{"steady", "wandering", "slow", "vanishing", "passing"}
	short := newStream(w, "short:a", 200*time.Millisecond)
	for i, t := range []tongue{
		nativeTongue{}, nativeTongue{}, nativeTongue{}, nativeTongue{}, nativeTongue{},
		nativeTongue{}, nativeTongue{}, nativeTongue{}, nativeTongue{}, pollTongue{},
		centrifugeTongue{}, centrifugeTongue{}, eventsTongue{}, pusherTongue{}, pollTongue{},
		eventsTongue{}, eventsTongue{}, centrifugeTongue{}, centrifugeTongue{}, eventsTongue{},
		pusherTongue{}, haltingTongue{}, haltingTongue{},
	} {
		kind := kinds[i%len(kinds)]
		w.clients = append(w.clients, newClient(w, fmt.Sprintf("%s%d", kind, i), kind, t, w.streams[random.IntN(len(w.streams))]))
	}
	for i, t := range []tongue{nativeTongue{}, centrifugeTongue{}, eventsTongue{}, pollTongue{}} {
		w.clients = append(w.clients, newClient(w, fmt.Sprintf("short%d", i), "wandering", t, short))
	}
	w.addFickle(random)
	w.streams = append(w.streams, short)
}

// note adds a line to the story.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, fmt.Sprintf("%9.3f  %s", time.Since(w.began).Seconds(), fmt.Sprintf(format, args...)))
}

// sees counts a rare event.
func (w *world) sees(what string) { w.add(what, 1) }

func (w *world) add(what string, times int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[what] += times
}

// blame records a violation of the law.
func (w *world) blame(format string, args ...any) {
	w.note("WRONG: "+format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// account returns the result of the story.
func (w *world) account() account {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := account{Lines: w.lines, Seen: w.seen, Wrong: w.wrong}
	for _, b := range w.plan {
		a.Plan = append(a.Plan, b.number)
	}
	return a
}

// calmCommands is the most commands a second that reach Redis when nothing happens.
const calmCommands = 300

// checkCalm waits for the last messages, and checks that Redis is not asked without a pause.
func (w *world) checkCalm() {
	time.Sleep(2 * time.Second)
	before := w.redis().Answers()
	time.Sleep(8 * time.Second)
	each := (w.redis().Answers() - before) / 8
	w.note("redis answers %d commands a second", each)
	if each > calmCommands {
		w.blame("redis is asked %d commands a second, though nothing happens", each)
	}
}

// busyCommands is how often at most the same command reaches Redis within a second.
const busyCommands = 300

// checkBusy checks that nothing was asked again and again.
func (w *world) checkBusy() {
	command, times := w.servers.Busiest()
	w.note("redis was asked %d times within a second: %.200q", times, command)
	if times > busyCommands {
		w.blame("redis was asked %d times within a second: %.200q", times, command)
	}
}

// checkNodes checks readiness, presence and counts of each node after the story has settled.
func (w *world) checkNodes() {
	for _, s := range w.nodes {
		n := s.current()
		if n == nil {
			w.blame("node %d does not run", s.index)
			continue
		}
		if err := n.Ready(); err != nil {
			w.blame("node %s is not ready long after the last fault: %v", n.Node(), err)
		}
		for _, stream := range w.streams {
			w.checkMembers(n, stream)
		}
		w.checkCounts(n)
	}
}

// here returns the number of sessions on a channel per known user, and in total.
func (w *world) here(s *stream) (users map[string]int, all int) {
	users = make(map[string]int)
	for _, c := range w.clients {
		if c.stream != s || c.kind != "steady" {
			continue
		}
		if all++; isNamed(c.tongue) {
			users[c.name] = 1
		}
	}
	return users, all
}

func (w *world) checkMembers(n *node, s *stream) {
	members, err := n.Members(context.Background(), &backend, s.channel)
	if err != nil {
		w.blame("%s cannot say who is on %s: %v", n.Node(), s.channel, err)
		return
	}
	said := make(map[string]int)
	for _, m := range members {
		said[m.User] = m.Sessions
	}
	want, _ := w.here(s)
	if maps.Equal(said, want) {
		return
	}
	for user := range said {
		sessions, err := n.Users.Sessions(context.Background(), user)
		w.note("sessions of %s: %+v, %v", user, sessions, err)
	}
	w.blame("%s says that on %s are %v; there are %v", n.Node(), s.channel, said, want)
}

func (w *world) checkCounts(n *node) {
	channels, err := n.Nodes.Channels(context.Background(), "*:*")
	if err != nil {
		w.blame("%s cannot say which channels there are: %v", n.Node(), err)
		return
	}
	said := make(map[string]int)
	for _, ch := range channels {
		said[ch.Channel] = ch.Sessions
	}
	want := make(map[string]int)
	for _, s := range w.streams {
		if _, here := w.here(s); here > 0 {
			want[s.channel] = here
		}
	}
	if !maps.Equal(said, want) {
		w.blame("%s counts %v; there are %v", n.Node(), said, want)
	}
}

func (w *world) redis() *simredis.Server { return w.servers.At(redisAddress) }

func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(cmp.Or(most-least, 1))))
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
