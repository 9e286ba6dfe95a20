package broker

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"

	"github.com/redis/go-redis/v9"
)

// lane is the queue of one partition's publications. At most one batch of it is under way, which
// keeps their order.
type lane struct {
	// Immutable after construction.
	servers   *servers
	board     *board
	partition *partition
	does      duty
	exchanges []*exchange // by partition
	spare     *spares
	check     *redis.IntCmd // used only by the exchange that sends a batch; see newCheck

	probing atomic.Bool // a probe is under way or scheduled

	// Guarded by mu.
	mu     lock.Mutex[lock.Lane]
	ended  bool
	busy   bool           // an exchange has it, or will: its turn has not come, or a batch is under way
	sent   []*publication // the batch under way
	queue  []*publication // publications behind it, oldest first
	timer  *time.Timer    // fires when the oldest unanswered publication is due, or before
	timing bool           // the timer is running
}

// newLanes returns the lanes of all partitions for one duty, and what sends for them.
func newLanes(s *servers, b *board, does duty, spare *spares) (lanes []*lane, exchanges []*exchange) {
	for _, p := range b.all {
		exchanges = append(exchanges, newExchange(s, b, spare))
		lanes = append(lanes, &lane{
			servers: s, board: b, partition: p, does: does, spare: spare, check: newCheck(p.prefix),
		})
	}
	for _, l := range lanes {
		l.exchanges = exchanges
	}
	return lanes, exchanges
}

// exchange returns the one that sends for the lane. In a Cluster all partitions of a master
// share one, so that their publications share round trips, except those that replicas must
// confirm, which may take long.
func (l *lane) exchange() *exchange {
	if l.servers.clustered && l.does == publishing {
		return l.exchanges[l.servers.masterOf(l.partition.index)]
	}
	return l.exchanges[l.partition.index]
}

// publish queues a message. done is called when Redis has confirmed it, or after
// answerTimeout.
func (l *lane) publish(m Message, o PublishOptions, done func(Position, error)) {
	p := l.spare.take(o.HistorySize > 0 || m.Key != "")
	p.replicas, p.deadline, p.done = o.Replicas, time.Now().Add(answerTimeout), done
	p.say(l.servers, l.partition.prefix, &m, o)
	idle, ended := l.enqueue(p)
	switch {
	case ended:
		p.done(Position{}, notPublished(p.channel, errNotRunning))
	case idle:
		l.exchange().enlist(l)
	}
}

// enqueue queues p, unless the lane has ended: then p will not be answered. If the lane was
// idle, the caller must enlist it.
func (l *lane) enqueue(p *publication) (idle, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false, true
	}
	l.queue = append(l.queue, p)
	l.time(answerTimeout)
	idle, l.busy = !l.busy, true
	return idle, false
}

// time makes sure that expire is called after d. The caller must hold mu.
func (l *lane) time(d time.Duration) {
	switch {
	case l.timing:
		return
	case l.timer == nil:
		l.timer = time.AfterFunc(d, l.expire)
	default:
		l.timer.Reset(d)
	}
	l.timing = true
}

// expire fails the publications that Redis has not confirmed in time.
func (l *lane) expire() {
	l.mu.Lock()
	l.timing = false
	late := l.takeLate(time.Now())
	l.mu.Unlock()
	l.fail(late)
}

func (l *lane) fail(late []*publication) {
	if len(late) > 0 {
		l.partition.link().suspect()
		l.exchange().answer(late, errNoAnswer)
	}
}

// takeLate removes and returns the publications whose deadline is over, and sets the timer
// for the rest. The caller must hold mu.
func (l *lane) takeLate(now time.Time) (late []*publication) {
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

// take moves the oldest publications of the queue to a load, as far as that has room for
// them. They are then under way. It returns those that have waited too long instead.
func (l *lane) take(to *load, now time.Time) (late []*publication) {
	l.mu.Lock()
	defer l.mu.Unlock()
	late = l.takeLate(now)
	n := 0
	for n < len(l.queue) && to.add(l.queue[n]) {
		n++
	}
	l.sent = to.batch[len(to.batch)-n:]
	l.queue = slices.Delete(l.queue, 0, n)
	return late
}

// over ends the batch under way. It appends those of its publications that are to be answered
// now to answers. What another server has to take goes back to the queue; then moved is true.
func (l *lane) over(batch, answers []*publication) (_ []*publication, moved bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var again []*publication
	for _, p := range batch {
		switch {
		case p.answered:
		case p.attempts < masterAttempts && wrongMaster(p.command.Err()) && !l.ended:
			p.attempts++
			again = append(again, p)
		default:
			p.answered = true
			answers = append(answers, p)
		}
	}
	l.sent, l.queue = nil, slices.Insert(l.queue, 0, again...)
	return answers, len(again) > 0
}

// goOn has what is left in the queue sent.
func (l *lane) goOn() {
	l.mu.Lock()
	l.busy = len(l.queue) > 0
	busy := l.busy
	l.mu.Unlock()
	if busy {
		l.exchange().enlist(l)
	}
}

// followMaster goes on once another server may be found to be the master or, if heir is not
// nil, once it is known whether that one has everything from the former master. Meanwhile
// nothing of the lane is sent.
func (l *lane) followMaster(ctx context.Context, heir *process) {
	if heir != nil {
		l.partition.vouch(ctx, heir, time.Now())
	} else {
		l.servers.findMaster(ctx)
	}
	l.goOn()
}

// end fails what is queued; enqueue then refuses all that comes later.
func (l *lane) end() {
	l.mu.Lock()
	l.ended = true
	queue := l.queue
	l.queue = nil
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	l.exchange().answer(queue, errNotRunning)
}

// probe finds out, after a failed publish, whether anything can be published at all, and
// reports the result to the board, every probeEvery until a publish succeeds. It is needed
// because a refusal may concern one channel only, and because a Redis that does not answer
// publishes, or takes no new connections, may still answer everything else. If Redis answers
// nothing, the link reports that.
func (l *lane) probe() {
	l.try(func(err error) {
		switch {
		case err == nil:
			l.board.up(part{l.partition, l.does})
			l.probing.Store(false)
			return
		case errors.Is(err, errNotRunning):
			return
		}
		if refusalKind(err) != "" || isLost(err) && l.partition.answersAll() {
			l.board.lost(part{l.partition, l.does}, err)
		}
		time.AfterFunc(probeEvery, l.probe)
	})
}

// try publishes a message that nobody gets, on a channel that no client can name, and calls done
// with the result.
func (l *lane) try(done func(error)) {
	o := PublishOptions{HistorySize: 1, HistoryTTL: time.Second}
	l.publish(Message{Channel: " probe"}, o, func(_ Position, err error) { done(err) })
}

const probeEvery = time.Second

// noteFailures counts the refused publications of a batch, and starts a probe if any was
// refused or not answered.
func (l *lane) noteFailures(batch []*publication) {
	failed := false
	for _, p := range batch {
		if err := p.command.Err(); err != nil && (l.servers.refusals.note(err) || isLost(err)) {
			failed = true
		}
	}
	if failed && !l.probing.Swap(true) {
		l.probe()
	}
}
