package simulation_test

import (
	"math/rand/v2"
	"time"

	"tidegate/broker/simredis"
)

// fault is something that goes wrong, and is mended after a while.
type fault struct {
	name    string
	forgets bool // Redis may lose what it has confirmed
	blinds  bool // the node cannot use Redis meanwhile
	strike  func(w *world, n *slot, random *rand.Rand)
	mend    func(w *world, n *slot)
	longest time.Duration
}

var faults = []fault{
	{name: "link cut", strike: tamper((*simredis.Way).Cut)},
	{name: "link broken", blinds: true, strike: tamper((*simredis.Way).Break), mend: mendWay, longest: 12 * time.Second},
	{name: "nothing arrives at redis", blinds: true, strike: tamper((*simredis.Way).BlockThere), mend: mendWay, longest: 12 * time.Second},
	{name: "nothing comes from redis", blinds: true, strike: tamper((*simredis.Way).BlockBack), mend: mendWay, longest: 12 * time.Second},
	{name: "link slow", strike: slowLink, mend: mendWay, longest: 12 * time.Second},
	{name: "node cut off from all", blinds: true, strike: cutOff, mend: mendWay, longest: 40 * time.Second},
	{name: "node killed", strike: func(_ *world, n *slot, _ *rand.Rand) { n.kill() }, mend: startAgain, longest: 10 * time.Second},
	{name: "node drained", strike: func(_ *world, n *slot, _ *rand.Rand) { n.drain() }, mend: startAgain, longest: 2 * time.Second},
	{name: "redis stands still", strike: func(w *world, _ *slot, _ *rand.Rand) { w.redis().Pause() },
		mend: func(w *world, _ *slot) { w.redis().Resume() }, longest: 10 * time.Second},
	{name: "redis is full", strike: refuse("OOM command not allowed when used memory > 'maxmemory'."), mend: refuseNothing, longest: 8 * time.Second},
	{name: "redis cannot save", strike: refuse("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."), mend: refuseNothing, longest: 8 * time.Second},
	{name: "redis restarts with all that it had", strike: restart(0, 1)},
	{name: "redis restarts with older data", forgets: true, strike: restart(1, 60)},
	{name: "redis restarts with nothing", forgets: true, strike: restart(1<<30, 1<<30+1)},
	{name: "redis fails over and loses nothing", strike: failOver(0, 1)},
	{name: "redis fails over and loses something", forgets: true, strike: failOver(1, 60)},
	{name: "redis is emptied", forgets: true, strike: func(w *world, _ *slot, _ *rand.Rand) { w.redis().Flush() }},
	{name: "a stream is deleted", forgets: true, strike: func(w *world, _ *slot, random *rand.Rand) {
		w.redis().Do("DEL", "tidegate:"+w.streams[random.IntN(2)].channel)
	}},
	{name: "a channel is deleted", forgets: true, strike: func(w *world, _ *slot, random *rand.Rand) {
		name := "tidegate:" + w.streams[random.IntN(2)].channel
		w.redis().Do("DEL", name, name+" meta")
	}},
}

func tamper(what func(*simredis.Way)) func(*world, *slot, *rand.Rand) {
	return func(_ *world, s *slot, _ *rand.Rand) { s.tamper(what) }
}

func slowLink(_ *world, s *slot, random *rand.Rand) {
	takes := between(random, 20*time.Millisecond, 1500*time.Millisecond)
	s.tamper(func(way *simredis.Way) { way.Slow(takes) })
}

func cutOff(_ *world, s *slot, _ *rand.Rand) {
	if n := s.current(); n != nil {
		n.way.BlockThere()
		n.way.BlockBack()
		n.part(true)
	}
}

func mendWay(_ *world, s *slot) {
	if n := s.current(); n != nil {
		n.way.Mend()
		n.part(false)
		s.mends.Add(1)
	}
}

func startAgain(_ *world, s *slot) {
	if s.current() == nil {
		s.start()
	}
}

func refuse(refusal string) func(*world, *slot, *rand.Rand) {
	return func(w *world, _ *slot, _ *rand.Rand) { w.redis().Refuse(refusal) }
}

func refuseNothing(w *world, _ *slot) { w.redis().Refuse("") }

// restart ends the process of Redis and begins another one, which has not what the last
// commands wrote, from least to most of them.
func restart(least, most int) func(*world, *slot, *rand.Rand) {
	return func(w *world, _ *slot, random *rand.Rand) {
		n, down := least+random.IntN(most-least), between(random, 0, 5*time.Second)
		w.replacing <- struct{}{}
		defer func() { <-w.replacing }()
		w.redis().Stop()
		mark := w.redis().Mark() // what it has done to the end
		time.Sleep(down)
		w.redis().StartFrom(mark.Before(n))
		w.note("redis is back without %d commands", n)
	}
}

// failOver has another server take the place of the one that there is.
func failOver(least, most int) func(*world, *slot, *rand.Rand) {
	return func(w *world, _ *slot, random *rand.Rand) {
		w.replacing <- struct{}{}
		defer func() { <-w.replacing }()
		w.servers.FailOver(redisAddress, least+random.IntN(most-least))
	}
}

// strike has faults befall the world, which may overlap, and returns when all are
// mended.
func (w *world) strike(random *rand.Rand) {
	w.note("gentle: %v", w.gentle)
	for end := time.Now().Add(faultsLast); time.Now().Before(end); {
		f := faults[random.IntN(len(faults))]
		s := w.nodes[random.IntN(len(w.nodes))]
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		after := between(random, 0, 8*time.Second)
		if f.forgets && w.gentle {
			continue
		}
		w.striking.Go(func() { w.befall(f, s, own) })
		time.Sleep(after)
	}
	w.striking.Wait()
	for _, s := range w.nodes {
		mendWay(w, s)
		startAgain(w, s)
	}
	w.redis().Resume()
	w.redis().Refuse("")
	w.note("all is mended")
}

// befall has one fault strike, and mends it.
func (w *world) befall(f fault, s *slot, random *rand.Rand) {
	lasts := between(random, 50*time.Millisecond, max(f.longest, 100*time.Millisecond))
	w.note("FAULT %s, node %d, for %v", f.name, s.index, lasts)
	w.sees("fault: " + f.name)
	n, mends := s.current(), s.mends.Load()
	f.strike(w, s, random)
	if f.mend == nil {
		return
	}
	time.Sleep(lasts)
	if f.blinds && lasts > seenWithin && n != nil && n == s.current() && mends == s.mends.Load() {
		w.sees("not ready without Redis")
		if n.Ready() == nil {
			w.blame("node %s is ready, though for %v: %s", n.Node(), lasts, f.name)
		}
	}
	w.note("mended: %s, node %d", f.name, s.index)
	f.mend(w, s)
}

// seenWithin is how soon a node knows that it cannot use Redis.
const seenWithin = 2 * time.Second
