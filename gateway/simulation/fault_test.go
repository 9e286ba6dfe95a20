package simulation_test

import (
	"math/rand/v2"
	"time"

	"tidegate/broker/simredis"
)

// fault is a kind of fault, which is repaired after a while.
type fault struct {
	name    string
	forgets loss // how much confirmed data Redis loses
	blinds  bool // whether the node cannot use Redis during the fault
	strike  func(w *world, n *slot, random *rand.Rand)
	mend    func(w *world, n *slot) // may be nil
	longest time.Duration
}

// loss is how much data Redis loses.
type loss byte

const (
	nothing loss = iota
	some
	everything
)

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
	{name: "redis restarts with older data", forgets: some, strike: restart(1, 60)},
	{name: "redis restarts with nothing", forgets: everything, strike: restart(1<<30, 1<<30+1)},
	{name: "redis fails over and loses nothing", strike: failOver(0, 1)},
	{name: "redis fails over and loses something", forgets: some, strike: failOver(1, 60)},
	{name: "a node is led to the former master", strike: leadAstray, mend: mendWay, longest: 12 * time.Second},
	{name: "the clock of redis jumps", strike: clockJumps, mend: func(w *world, _ *slot) { w.redis().SetClock(0) }, longest: 20 * time.Second},
	{name: "redis is emptied", forgets: everything, strike: func(w *world, _ *slot, _ *rand.Rand) { w.redis().Do("FLUSHALL") }},
	{name: "a stream is deleted", forgets: some, strike: func(w *world, _ *slot, random *rand.Rand) {
		w.redis().Do("DEL", "tidegate:"+w.streams[random.IntN(2)].channel)
	}},
	{name: "a channel is deleted", forgets: some, strike: func(w *world, _ *slot, random *rand.Rand) {
		s := w.streams[random.IntN(2)]
		name := "tidegate:" + s.channel
		w.redis().Do("DEL", name, name+" meta")
		s.mu.Lock()
		defer s.mu.Unlock()
		s.deleted = append(s.deleted, time.Now())
	}},
}

func tamper(what func(*simredis.Way)) func(*world, *slot, *rand.Rand) {
	return func(_ *world, s *slot, _ *rand.Rand) { s.tamper(what) }
}

// clockJumps moves the clock of Redis, so that keys expire early or late. In a gentle story,
// the jump is too small to expire the idempotency keys of publishes.
func clockJumps(w *world, _ *slot, random *rand.Rand) {
	most := 30 * time.Second
	if !w.gentle {
		most = 2 * time.Hour
	}
	ahead := between(random, -most, most)
	w.note("the clock of redis is ahead by %v", ahead)
	w.redis().SetClock(ahead)
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

// restart stops the process of Redis and starts another one, which lacks the writes of the last
// commands. Their number is random, at least least and less than most.
func restart(least, most int) func(*world, *slot, *rand.Rand) {
	return func(w *world, _ *slot, random *rand.Rand) {
		n, down := least+random.IntN(most-least), between(random, 0, 5*time.Second)
		w.replacing <- struct{}{}
		defer func() { <-w.replacing }()
		w.redis().Stop()
		mark := w.redis().Mark() // after Stop, so that no write is missed
		time.Sleep(down)
		w.redis().StartFrom(mark.Before(n))
		w.note("redis is back without %d commands", n)
	}
}

// restore stops the process of Redis some seconds after it has saved its data, and starts another one
// with what was saved.
func restore(w *world, _ *slot, random *rand.Rand) {
	w.replacing <- struct{}{}
	defer func() { <-w.replacing }()
	saved := w.redis().Mark()
	time.Sleep(between(random, 2*time.Second, 6*time.Second))
	w.redis().Stop()
	time.Sleep(between(random, 0, 5*time.Second))
	w.redis().StartFrom(saved)
}

// failOver replaces Redis by another server. It lacks the writes of the last commands, at least
// least and less than most of them.
func failOver(least, most int) func(*world, *slot, *rand.Rand) {
	return func(w *world, _ *slot, random *rand.Rand) {
		w.replacing <- struct{}{}
		defer func() { <-w.replacing }()
		w.servers.FailOver(redisAddress, least+random.IntN(most-least))
	}
}

// leadAstray replaces Redis by another server, while one node stays connected to the former
// one, in half of the cases over a slow link.
func leadAstray(w *world, s *slot, random *rand.Rand) {
	w.replacing <- struct{}{}
	defer func() { <-w.replacing }()
	former := w.redis()
	slow := random.IntN(2) == 0
	takes := between(random, 50*time.Millisecond, 400*time.Millisecond)
	s.tamper(func(way *simredis.Way) {
		way.Lead(former)
		if slow {
			way.Slow(takes)
		}
	})
	w.servers.FailOver(redisAddress, 0)
}

// switchOver replaces Redis by another server, until switchBack.
func switchOver(w *world, _ *slot, _ *rand.Rand) {
	w.replacing <- struct{}{}
	w.former = w.redis()
	w.servers.FailOver(redisAddress, 0)
}

// switchBack makes the former server the master again, with its old data: writes since
// switchOver are lost.
func switchBack(w *world, _ *slot) {
	defer func() { <-w.replacing }()
	w.servers.Reinstate(w.former)
}

// powerFails kills all nodes and Redis at the same time. Redis has not saved its last writes.
func powerFails(w *world, s *slot, random *rand.Rand) {
	for _, n := range w.nodes {
		n.kill()
	}
	restart(1, 60)(w, s, random)
}

func startAll(w *world, _ *slot) {
	for _, n := range w.nodes {
		startAgain(w, n)
	}
}

// killAhead kills a node that has renewed its lease while the clock of Redis was ahead.
func killAhead(w *world, s *slot, random *rand.Rand) {
	w.redis().SetClock(between(random, 10*time.Minute, 2*time.Hour))
	time.Sleep(lease)
	s.kill()
}

func startInTime(w *world, s *slot) {
	w.redis().SetClock(0)
	startAgain(w, s)
}

// blow is one occurrence of a fault in a story.
type blow struct {
	number int // in the plan, from 1
	at     time.Duration
	fault  *fault
	node   int    // index of the slot that it affects
	own    uint64 // seed of its own random numbers
}

// planOf draws the faults of a story until the given time. A gentle story has no faults that
// make Redis lose data.
func planOf(random *rand.Rand, until time.Duration, gentle bool) (plan []blow) {
	for at := time.Duration(0); at < until; {
		b := blow{number: len(plan) + 1, at: at, fault: &faults[random.IntN(len(faults))], node: random.IntN(nodeCount), own: random.Uint64()}
		at += between(random, 0, 8*time.Second)
		if !gentle || b.fault.forgets == nothing {
			plan = append(plan, b)
		}
	}
	return plan
}

// unreadable is a fault of its own list: more often than others, it strikes while clients
// resume, and nothing else is wrong.
var unreadable = fault{name: "no history can be read", longest: 12 * time.Second,
	strike: func(w *world, _ *slot, _ *rand.Rand) {
		w.redis().RefuseReads("", 100)
	},
	mend: func(w *world, _ *slot) { w.redis().RefuseReads("", 0) },
}

// obscure makes reads of channels fail, all or most of them: of some of those many that have few clients,
// or of any one.
func obscure(suffix string, few, least, most int) func(*world, *slot, *rand.Rand) {
	return func(w *world, _ *slot, random *rand.Rand) {
		ofHundred := least + random.IntN(most-least)
		hide := func(s *stream) {
			w.note("on %s, %d of 100 reads fail", s.channel, min(100, ofHundred))
			w.redis().RefuseReads("tidegate:"+s.channel+suffix, ofHundred)
		}
		if random.IntN(4) == 0 {
			hide(w.streams[random.IntN(len(w.streams))])
			return
		}
		for _, s := range w.streams[len(w.streams)-1-few : len(w.streams)-1] {
			if random.IntN(3) > 0 {
				hide(s)
			}
		}
	}
}

func clear(suffix string) func(*world, *slot) {
	return func(w *world, _ *slot) {
		for _, s := range w.streams {
			w.redis().RefuseReads("tidegate:"+s.channel+suffix, 0)
		}
	}
}

// obscured are the faults of which each story has some in addition: while clients resume.
var obscured = []struct {
	every time.Duration // at most
	fault fault
}{
	{30 * time.Second, unreadable},
	{10 * time.Second, fault{name: "a history can hardly be read", strike: obscure("", 2, 30, 70), mend: clear(""), longest: 12 * time.Second}},
	{20 * time.Second, fault{name: "the members of a channel can hardly be read", strike: obscure(" presence", 6, 60, 120), mend: clear(" presence"), longest: 12 * time.Second}},
	{15 * time.Second, fault{name: "the members of a channel cannot be read, over a slow link", strike: func(w *world, s *slot, random *rand.Rand) {
		s.tamper(func(way *simredis.Way) { way.Slow(between(random, 50*time.Millisecond, 400*time.Millisecond)) })
		obscure(" presence", 6, 100, 101)(w, s, random)
	}, mend: func(w *world, s *slot) {
		clear(" presence")(w, s)
		mendWay(w, s)
	}, longest: 12 * time.Second}},
	{30 * time.Second, fault{name: "link very slow", strike: func(_ *world, s *slot, random *rand.Rand) {
		s.tamper(func(way *simredis.Way) { way.Slow(between(random, 600*time.Millisecond, 1300*time.Millisecond)) })
	}, mend: mendWay, longest: 12 * time.Second}},
}

// unreadables draws times at which clients find it hard to resume, numbered from number on.
func unreadables(random *rand.Rand, number int, until time.Duration) (plan []blow) {
	for i, f := range obscured {
		for at := between(random, 0, f.every); at < until; at += between(random, 0, f.every) {
			plan = append(plan, blow{number: number + len(plan), at: at, fault: &obscured[i].fault, node: random.IntN(nodeCount), own: random.Uint64()})
		}
	}
	return plan
}

// lastFaults are the possible last faults of a story in which Redis may lose data. No later
// event can hide their consequences. Each one strikes some time after the end of the other
// faults.
var lastFaults = []struct {
	after time.Duration
	fault fault
}{
	{0, fault{name: "last: redis restarts with what it has saved before all clients moved", strike: restore}},
	{2 * time.Second, fault{name: "last: redis restarts with older data", strike: restart(20, 60)}}, // all clients have just settled
	{2 * time.Second, fault{name: "last: redis fails over and loses something", strike: failOver(20, 60)}},
	{-10 * time.Second, fault{name: "last: redis fails over, and the former master comes back", strike: switchOver, mend: switchBack, longest: 8 * time.Second}}, // some clients are disconnected meanwhile
	{calm, fault{name: "last: redis restarts with nothing", strike: restart(1<<30, 1<<30+1)}},
	{calm, fault{name: "last: redis is emptied", strike: func(w *world, _ *slot, _ *rand.Rand) { w.redis().Do("FLUSHALL") }}},
	{calm, fault{name: "last: power fails, and redis restarts with older data", strike: powerFails, mend: startAll, longest: 5 * time.Second}},
	{calm, fault{name: "last: a node is killed while the clock of redis is ahead", strike: killAhead, mend: startInTime, longest: 5 * time.Second}},
}

// lastOf draws the last fault of a story: one of lastFaults or, in a gentle story, a fault
// without data loss after a while of calm.
func lastOf(random *rand.Rand, number int, ended time.Duration, gentle bool) blow {
	b := blow{number: number, node: random.IntN(nodeCount), own: random.Uint64()}
	if !gentle {
		last := &lastFaults[max(0, random.IntN(2*len(lastFaults))-len(lastFaults))] // the first in half of the stories
		b.at, b.fault = max(0, ended+last.after), &last.fault
		return b
	}
	b.at = ended + calm
	for b.fault == nil || b.fault.forgets != nothing {
		b.fault = &faults[random.IntN(len(faults))]
	}
	return b
}

// strike runs the faults of the plan that are due between from and to, which may overlap. It
// returns when to has passed and all of them are repaired.
func (w *world) strike(began time.Time, from, to time.Duration) {
	for _, b := range w.plan {
		if b.at < from || b.at >= to {
			continue
		}
		time.Sleep(time.Until(began.Add(b.at)))
		w.striking.Go(func() { w.befall(b) })
	}
	time.Sleep(time.Until(began.Add(to)))
	w.striking.Wait()
	for _, s := range w.nodes {
		mendWay(w, s)
		startAgain(w, s)
	}
	w.redis().Resume()
	w.redis().Refuse("")
	w.redis().RefuseReads("", 0)
	clear("")(w, nil)
	clear(" presence")(w, nil)
	w.redis().SetClock(0)
	w.note("all is mended")
}

// befall runs one fault: it strikes, waits and repairs it. It also checks that a node that
// cannot use Redis is not ready.
func (w *world) befall(b blow) {
	f, s, random := b.fault, w.nodes[b.node], rand.New(rand.NewPCG(b.own, 0))
	lasts := between(random, 50*time.Millisecond, max(f.longest, 100*time.Millisecond))
	w.note("FAULT %d: %s, node %d, for %v", b.number, f.name, s.index, lasts)
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

// seenWithin is the time within which a node must notice that it cannot use Redis.
const seenWithin = 2 * time.Second
