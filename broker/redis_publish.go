package broker

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"

	"github.com/redis/go-redis/v9"
)

// lane publishes what one partition's publishers queue, in shared round trips:
// while one pipeline is under way, the next one gathers.
type lane struct {
	// Fixed at birth.
	broker    *Redis
	partition *partition
	prefix    string
	wake      chan struct{} // the queue has something

	// Owned by run.
	held     *process      // nil: none is
	commands []redis.Cmder // scratch memory
	check    *redis.IntCmd // see addCheck

	probing atomic.Bool // a probe is under way, or will be

	// Guarded by mu.
	mu     lock.Mutex[lock.Lane]
	ended  bool
	sent   []*publication // the pipeline that is under way
	queue  []*publication // behind it; the oldest first
	timer  *time.Timer    // runs out when the oldest of all that are not answered is due
	timing bool           // it runs
}

const publishMost = 256 // publications of one pipeline

func newLane(b *Redis, p *partition) *lane {
	return &lane{
		broker: b, partition: p, prefix: p.prefix, wake: make(chan struct{}, 1),
		check: redis.NewIntCmd(context.Background(), "del", p.prefix+checkKey),
	}
}

// publish queues a message. It is answered when Redis has confirmed, or when
// answerTimeout is over.
func (l *lane) publish(m Message, o PublishOptions, done func(Position, error)) {
	p := l.broker.spare.take(o.HistorySize > 0 || m.Key != "")
	p.replicas, p.deadline, p.done = o.Replicas, time.Now().Add(answerTimeout), done
	p.say(l, &m, o)
	if !l.enqueue(p) {
		p.done(Position{}, notPublished(p.channel, errNotRunning))
	}
}

func (b *Redis) publishCommand() any {
	if b.clustered {
		return "spublish"
	}
	return "publish"
}

// enqueue reports whether p will be answered.
func (l *lane) enqueue(p *publication) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.queue = append(l.queue, p)
	if len(l.queue) == 1 {
		l.poke()
	}
	if !l.timing {
		l.time(answerTimeout)
	}
	return true
}

// time has expire called after d. It is called with mu held.
func (l *lane) time(d time.Duration) {
	l.timing = true
	if l.timer == nil {
		l.timer = time.AfterFunc(d, l.expire)
	} else {
		l.timer.Reset(d)
	}
}

func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// expire answers what Redis has not confirmed in time.
func (l *lane) expire() {
	late := l.takeLate(time.Now())
	if len(late) == 0 {
		return
	}
	l.partition.suspect()
	l.answer(late, errNoAnswer)
}

// takeLate takes the publications whose time is over, and sets the timer for the
// rest.
func (l *lane) takeLate(now time.Time) (late []*publication) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timing = false
	for _, p := range l.sent {
		switch {
		case p.answered:
		case now.Before(p.deadline):
			l.time(p.deadline.Sub(now))
			return late
		default:
			p.answered = true
			late = append(late, p)
		}
	}
	taken := 0
	for taken < len(l.queue) && !now.Before(l.queue[taken].deadline) {
		taken++
	}
	late = append(late, l.queue[:taken]...)
	l.queue = slices.Delete(l.queue, 0, taken)
	if len(l.queue) > 0 {
		l.time(l.queue[0].deadline.Sub(now))
	}
	return late
}

// run sends until ctx ends.
func (l *lane) run(ctx context.Context) {
	batch := make([]*publication, 0, publishMost)
	for {
		select {
		case <-ctx.Done():
			l.end()
			l.letGo()
			return
		case <-l.wake:
			runtime.Gosched() // those who were just answered publish again: let them join
			l.expire()        // however long Redis is away, the queue is what came within answerTimeout
			batch = l.take(batch[:0])
			l.flush(ctx, batch)
			clear(batch)
		}
	}
}

// take moves the oldest of the queue to batch, which is under way then.
func (l *lane) take(batch []*publication) []*publication {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(publishMost, len(l.queue))
	l.sent = append(batch, l.queue[:n]...)
	l.queue = slices.Delete(l.queue, 0, n)
	if len(l.queue) > 0 {
		l.poke()
	}
	return l.sent
}

// end answers what is queued, and whatever comes later.
func (l *lane) end() {
	l.mu.Lock()
	l.ended = true
	queue := l.queue
	l.queue = nil
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	l.answer(queue, errNotRunning)
}

// answer calls done for each, with err if it is not nil. One that panics keeps
// the others from nothing.
func (l *lane) answer(batch []*publication, err error) {
	next := 0
	for next < len(batch) {
		_ = l.broker.wall(func() error {
			for next < len(batch) {
				p := batch[next]
				next++
				p.done(p.result(err))
			}
			return nil
		})
	}
	_ = l.broker.wall(func() error { l.broker.rest(); return nil })
}

// flush sends a batch and answers each publication.
func (l *lane) flush(ctx context.Context, batch []*publication) {
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	err := l.broker.wall(func() error {
		l.exchange(ctx, batch)
		l.exchange(ctx, l.unknownScripts(batch))
		l.noteFailures(batch)
		return nil
	})
	mine := l.unanswered(batch)
	l.answer(mine, err)
	l.broker.spare.give(mine)
}

// unanswered leaves of a batch that has been sent what nobody has answered yet,
// which is for the caller to do.
func (l *lane) unanswered(batch []*publication) []*publication {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = nil
	n := 0
	for _, p := range batch {
		if !p.answered {
			p.answered = true
			batch[n] = p
			n++
		}
	}
	return batch[:n]
}

// result returns what Redis has said, unless err says that it has not.
func (p *publication) result(err error) (Position, error) {
	var position Position
	if err == nil {
		err = p.command.Err()
	}
	if err == nil && p.script {
		var told string
		if told, err = p.command.Text(); err == nil {
			cursor, _, _ := strings.Cut(told, " ")
			position, err = ParsePosition(cursor)
		}
	}
	if err != nil {
		return Position{}, notPublished(p.channel, err)
	}
	return position, nil
}

// exchange sends publications in one pipeline, and again to the new master those
// that were sent to the wrong one. Only these are sent twice: Redis said that it
// did not take them.
func (l *lane) exchange(ctx context.Context, batch []*publication) {
	for attempt := 0; len(batch) > 0; attempt++ {
		l.pipeline(ctx, batch)
		batch = l.refusedByWrongMaster(batch)
		if len(batch) == 0 || attempt == masterAttempts || !l.broker.findMaster(ctx) {
			return
		}
	}
}

// refusedByWrongMaster returns those that another server is to be sent.
func (l *lane) refusedByWrongMaster(batch []*publication) (again []*publication) {
	for _, p := range batch {
		if wrongMaster(p.command.Err()) {
			again = append(again, p)
		}
	}
	return again
}

func (l *lane) pipeline(ctx context.Context, batch []*publication) {
	start := time.Now()
	if err := l.hold(ctx, start); err != nil {
		for _, p := range batch {
			p.command.SetErr(err)
		}
		return
	}
	vouched := l.partition.vouch(ctx, l.held, start)
	l.complete(batch, vouched)
	pipe := l.held.pipe
	_ = pipe.BatchProcess(ctx, l.commands...)
	check := l.addCheck(ctx, pipe, batch)
	confirmed := askReplicas(ctx, pipe, batch)
	_, err := pipe.Exec(ctx)
	l.applyCheck(check, batch)
	if err != nil {
		l.letGo() // go-redis may have, which the next one would not be told of
		for _, p := range batch {
			if p.command.Val() == nil && p.command.Err() == nil {
				p.command.SetErr(err) // it was not sent
			}
		}
	}
	noteReplicas(batch, confirmed)
	if isLost(err) {
		l.broker.stale()
		return
	}
	if era, ok := eraToldTo(batch); ok {
		l.partition.trust.learn(vouched, era, time.Now())
	}
	if observe := l.broker.config.Observe.RoundTrip; observe != nil {
		observe(time.Since(start))
	}
}

// complete makes commands of a batch, with what the connection decides.
func (l *lane) complete(batch []*publication, v voucher) {
	var arguments [vouched]any
	l.commands = l.commands[:0]
	for _, p := range batch {
		p.command.SetErr(nil)
		switch {
		case p.script:
			if arguments[0] == nil {
				arguments = v.arguments()
			}
			copy(p.command.Args()[p.vouchedAt():], arguments[:])
		case p.envelope != nil:
			setMark(p.envelope, l.held.mark)
		}
		l.commands = append(l.commands, p.command)
	}
}

// addCheck has the server say behind a pipeline whether it is a master, if it must:
// a replica takes a PUBLISH as a master does. To remove a key that there never is
// changes nothing, and only a master does it.
func (l *lane) addCheck(ctx context.Context, pipe redis.Pipeliner, batch []*publication) *redis.IntCmd {
	if !slices.ContainsFunc(batch, func(p *publication) bool { return !p.script }) {
		return nil
	}
	l.check.SetErr(nil)
	_ = pipe.Process(ctx, l.check)
	return l.check
}

const checkKey = " check"

// applyCheck confirms nothing that was published at a server which is no master. It
// is not published again: some may have heard it there.
func (l *lane) applyCheck(check *redis.IntCmd, batch []*publication) {
	if check == nil || check.Err() == nil {
		return
	}
	err := check.Err()
	switch {
	case wrongMaster(err):
		err = errReplica
		l.broker.topology.renew(l.held.client)
		l.broker.stale()
		l.partition.suspect()
	case redis.HasErrorPrefix(err, "NOPERM"), redis.HasErrorPrefix(err, "MISCONF"):
		return // only a master, or one that may be
	}
	for _, p := range batch {
		if !p.script && p.command.Err() == nil {
			p.command.SetErr(err)
		}
	}
}

// replicasWait is how long replicas have to confirm.
const replicasWait = 500 * time.Millisecond

// askReplicas asks, behind what was written, how many replicas have it: as many as any
// of the batch wants are waited for. It returns nil if none does.
func askReplicas(ctx context.Context, pipe redis.Pipeliner, batch []*publication) *redis.IntCmd {
	most := 0
	for _, p := range batch {
		most = max(most, p.replicas)
	}
	if most == 0 {
		return nil
	}
	confirmed := redis.NewIntCmd(ctx, "wait", most, replicasWait.Milliseconds())
	_ = pipe.Process(ctx, confirmed)
	return confirmed
}

// noteReplicas fails what Redis has taken, but too few replicas.
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

// eraToldTo returns the era that the last append told, if one did: Redis has then
// heard what the node vouches for.
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

// hold sees to it that there is a connection to the partition's master.
func (l *lane) hold(ctx context.Context, now time.Time) error {
	client, err := l.broker.topology.client(ctx, l.prefix)
	if err != nil {
		return err
	}
	if l.held != nil && l.held.fresh(l.broker, client, now) {
		l.held.used = now
		return nil
	}
	l.letGo()
	l.held, err = l.broker.meet(ctx, client, now)
	return err
}

func (l *lane) letGo() {
	if l.held != nil {
		l.held.conn.Close()
		l.held = nil
	}
}

// unknownScripts returns the publications that Redis refused because it does not
// know the script, with the script itself in place of its hash.
func (l *lane) unknownScripts(batch []*publication) []*publication {
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
