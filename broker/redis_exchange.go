package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"tidegate/broker/lock"

	"github.com/redis/go-redis/v9"
)

// exchange sends the publications of lanes whose partitions have the same master, in shared
// round trips: while one pipeline is under way, the next one fills.
type exchange struct {
	// Immutable after construction.
	servers *servers
	board   *board
	spare   *spares
	wake    // lanes is not empty

	// Used only by run.
	client   *redis.Client  // of the master to which the last pipeline was sent
	load     load           // the publications of the pipeline under way
	shares   []share        // the same by lane
	answers  []*publication // those to be answered
	commands []redis.Cmder  // reused memory
	moving   sync.WaitGroup // lanes that look for another server

	// Guarded by mu.
	mu    lock.Mutex[lock.Lane]
	lanes []*lane // those that have something to send, in the order of their turns
	spent []*lane // reused memory
}

// share is what one lane has in a pipeline.
type share struct {
	lane    *lane
	batch   []*publication
	client  *redis.Client // of the partition's master
	err     error         // why the batch cannot be sent in this pipeline
	vouched voucher
	heir    *process      // the new master, if the partition has to ask the former one first
	check   *redis.IntCmd // see newCheck; nil if there is none
}

// load is the publications of one pipeline.
type load struct {
	batch []*publication
	bytes int
	full  bool // there was no room for another one
}

// The most that one pipeline holds, so that a slow network can carry it within answerTimeout.
const (
	publishMost      = 256 // publications
	publishMostBytes = 1 << 20
)

// add adds p and reports whether there was room for it.
func (l *load) add(p *publication) bool {
	n, bytes := len(l.batch), l.bytes+p.size()
	if n == publishMost || n > 0 && bytes > publishMostBytes {
		l.full = true
		return false
	}
	l.batch, l.bytes = append(l.batch, p), bytes
	return true
}

func newExchange(s *servers, b *board, spare *spares) *exchange {
	return &exchange{
		servers: s, board: b, spare: spare, wake: newWake(),
		load: load{batch: make([]*publication, 0, publishMost)},
	}
}

// enlist makes the exchange send what a lane has, when it is the lane's turn.
func (e *exchange) enlist(l *lane) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lanes = append(e.lanes, l)
	e.poke()
}

// run sends until ctx ends.
func (e *exchange) run(ctx context.Context) {
	defer e.moving.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
			runtime.Gosched() // publishers that were just answered publish again: let them join
			e.collect()
			e.flush(ctx)
		}
	}
}

// collect fills the next pipeline from the lanes. Those for which it has no room come first
// in the one after it.
func (e *exchange) collect() {
	e.mu.Lock()
	lanes := e.lanes
	e.lanes, e.spent = e.spent[:0], lanes
	e.mu.Unlock()
	e.load, e.shares = load{batch: e.load.batch[:0]}, e.shares[:0]
	now := time.Now()
	for len(lanes) > 0 && !e.load.full {
		l, from := lanes[0], len(e.load.batch)
		l.fail(l.take(&e.load, now))
		batch := e.load.batch[from:]
		if e.load.full && len(batch) == 0 {
			break
		}
		e.shares = append(e.shares, share{lane: l, batch: batch})
		lanes = lanes[1:]
	}
	if len(lanes) > 0 {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.lanes = slices.Insert(e.lanes, 0, lanes...)
		e.poke()
	}
}

// flush sends the pipeline and answers its publications.
func (e *exchange) flush(ctx context.Context) {
	err := e.servers.wall(func() error {
		ctx, cancel := context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		e.send(ctx)
		return nil
	})
	e.answers = e.answers[:0]
	for i := range e.shares {
		s := &e.shares[i]
		var moved bool
		if e.answers, moved = s.lane.over(s.batch, e.answers); moved {
			l, heir := s.lane, s.heir
			e.moving.Go(func() { l.followMaster(ctx, heir) })
		} else {
			s.lane.goOn()
		}
	}
	clear(e.load.batch)
	clear(e.shares)
	e.answer(e.answers, err)
	e.spare.give(e.answers)
	clear(e.answers)
}

// answer calls done of each publication, with err if it is not nil. If one panics, the
// others are still called.
func (e *exchange) answer(batch []*publication, err error) {
	next := 0
	for next < len(batch) {
		_ = e.servers.wall(func() error {
			for next < len(batch) {
				p := batch[next]
				next++
				p.done(p.result(err))
			}
			return nil
		})
	}
	_ = e.servers.wall(func() error { e.board.receiver.Rest(); return nil })
}

// send sends the shares in one pipeline, and then again what Redis refused because it did
// not know the script.
func (e *exchange) send(ctx context.Context) {
	e.pipeline(ctx, e.shares)
	var again []share
	for i := range e.shares {
		if unknown := unknownScripts(e.shares[i].batch); len(unknown) > 0 {
			again = append(again, share{lane: e.shares[i].lane, batch: unknown})
		}
	}
	e.pipeline(ctx, again)
	for i := range e.shares {
		e.shares[i].lane.noteFailures(e.shares[i].batch)
	}
}

func (e *exchange) pipeline(ctx context.Context, shares []share) {
	start := time.Now()
	to, shares := e.meet(ctx, shares)
	if to == nil {
		return
	}
	err := errors.ErrUnsupported // in case of a panic: give then closes the connection, as go-redis may have done after any error
	defer func() { e.servers.give(to, err) }()
	e.commands = e.commands[:0]
	for i := range shares {
		e.complete(&shares[i], to, start)
	}
	_ = to.pipe.BatchProcess(ctx, e.commands...)
	confirmed := askReplicas(ctx, to.pipe, shares)
	_, err = to.pipe.Exec(ctx)
	for i := range shares {
		e.applyCheck(&shares[i], to)
	}
	for i := range shares {
		for _, p := range shares[i].batch {
			if err != nil && p.command.Val() == nil && p.command.Err() == nil {
				p.command.SetErr(err) // it was not sent
			}
		}
		noteReplicas(shares[i].batch, confirmed)
	}
	if isLost(err) {
		e.servers.stale()
		return
	}
	for i := range shares {
		s := &shares[i]
		if era, ok := eraToldTo(s.batch); ok {
			s.lane.partition.trust.learn(s.vouched, era, time.Now())
		}
	}
	e.servers.roundTrip(start)
}

// complete fills in what depends on the connection, and adds the commands of a share to the
// pipeline.
func (e *exchange) complete(s *share, to *process, now time.Time) {
	s.vouched = s.lane.partition.trust.vouch(to, now)
	var arguments [vouched]any
	live := false
	for _, p := range s.batch {
		p.command.SetErr(nil)
		switch {
		case p.script:
			if arguments[0] == nil {
				arguments = s.vouched.arguments()
			}
			copy(p.command.Args()[p.vouched:], arguments[:])
		case p.envelope != nil:
			setMark(p.envelope, to.mark)
		}
		live = live || !p.script
		e.commands = append(e.commands, p.command)
	}
	if live {
		s.check = s.lane.check
		s.check.SetErr(nil)
		e.commands = append(e.commands, s.check)
	}
}

// newCheck returns a check that the server is a master, which follows what a partition
// publishes without a script: a replica accepts that like a master. The check deletes a key
// that never exists, which changes nothing but only a master does.
func newCheck(prefix string) *redis.IntCmd {
	return redis.NewIntCmd(context.Background(), "del", prefix+checkKey)
}

const checkKey = " check"

// applyCheck fails what was published on a server that is no master. It must not be
// published again: some subscribers may have got it there.
func (e *exchange) applyCheck(s *share, by *process) {
	if s.check == nil || s.check.Err() == nil {
		return
	}
	err := s.check.Err()
	moved := wrongMaster(err)
	switch {
	case redis.HasErrorPrefix(err, "NOPERM"), redis.HasErrorPrefix(err, "MISCONF"), redis.HasErrorPrefix(err, "ASK"):
		return // only a master, or a possible one, answers so
	case moved:
		err = errReplica
	}
	accepted := false
	for _, p := range s.batch {
		if !p.script && p.command.Err() == nil {
			p.command.SetErr(err)
			accepted = true
		}
	}
	if moved && accepted { // a master whose slot has moved accepts nothing
		e.servers.topology.renew(by.client)
		e.servers.stale()
		s.lane.partition.link().suspect()
	}
}

// replicasWait is how long replicas have to confirm.
const replicasWait = 500 * time.Millisecond

// askReplicas appends a WAIT to the pipeline for as many replicas as any publication
// requires. It returns nil if none does.
func askReplicas(ctx context.Context, pipe redis.Pipeliner, shares []share) *redis.IntCmd {
	most := 0
	for i := range shares {
		for _, p := range shares[i].batch {
			most = max(most, p.replicas)
		}
	}
	if most == 0 {
		return nil
	}
	confirmed := redis.NewIntCmd(ctx, "wait", most, replicasWait.Milliseconds())
	_ = pipe.Process(ctx, confirmed)
	return confirmed
}

// noteReplicas fails the publications that Redis has accepted but too few replicas have.
func noteReplicas(batch []*publication, confirmed *redis.IntCmd) {
	if confirmed == nil {
		return
	}
	have, err := confirmed.Result()
	for _, p := range batch {
		if p.replicas > 0 && p.command.Err() == nil && (err != nil || int(have) < p.replicas) {
			p.command.SetErr(cmp.Or(err, fmt.Errorf("%d of %d replicas have it", have, p.replicas)))
		}
	}
}

// eraToldTo returns the era that the last successful append returned, if there is one:
// Redis has then received what the node vouches for.
func eraToldTo(batch []*publication) (era string, ok bool) {
	for _, p := range slices.Backward(batch) {
		if !p.script || p.command.Err() != nil {
			continue
		}
		told, err := p.command.Text()
		if _, era, ok = strings.Cut(told, " "); ok && err == nil {
			return era, true
		}
	}
	return "", false
}

// meet returns a connection to the master of the shares' partitions, and the shares to send over
// it; or nil, if there are none. What the others have fails: a partition may have moved to another
// master since its lane was enlisted, or may have to part from a former one.
func (e *exchange) meet(ctx context.Context, shares []share) (to *process, sent []share) {
	client := e.choose(ctx, shares)
	var err error
	if client != nil {
		e.client = client
		to, err = e.servers.take(ctx, client)
	}
	n := 0
	for i := range shares {
		s := &shares[i]
		switch {
		case len(s.batch) == 0, s.err != nil:
		case s.client != client:
			s.err = errElsewhere
		case err != nil:
			s.err = err
		case s.lane.partition.leaves(to):
			heir := *to
			s.err, s.heir = errElsewhere, &heir
		default:
			shares[n], shares[i] = *s, shares[n]
			n++
			continue
		}
		for _, p := range s.batch {
			p.command.SetErr(s.err)
		}
	}
	if n == 0 && to != nil {
		e.servers.give(to, nil)
		to = nil
	}
	return to, shares[:n]
}

// choose finds out the master of each share's partition, and returns the one to send to: if
// several differ, that of the last pipeline.
func (e *exchange) choose(ctx context.Context, shares []share) (to *redis.Client) {
	for i := range shares {
		s := &shares[i]
		if len(s.batch) == 0 {
			continue
		}
		if s.client, s.err = e.servers.topology.client(ctx, s.lane.partition.prefix); s.err != nil {
			continue
		}
		if to == nil || s.client == e.client {
			to = s.client
		}
	}
	return to
}

// unknownScripts returns the publications that Redis refused because it does not know the
// script. It replaces the hash in their commands by the script itself.
func unknownScripts(batch []*publication) []*publication {
	var again []*publication
	for _, p := range batch {
		if err := p.command.Err(); err != nil && p.script && redis.HasErrorPrefix(err, "NOSCRIPT") {
			args := p.command.Args()
			args[0], args[1] = "eval", AppendScript
			again = append(again, p)
		}
	}
	return again
}
