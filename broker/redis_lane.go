package broker

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
)

// lane publishes what one partition's publishers queue, in shared round trips:
// while one pipeline is under way, the next one gathers.
type lane struct {
	// Fixed at birth.
	servers   *servers
	board     *board
	partition *partition
	does      duty
	wording   wording
	spare     *spares
	wake      chan struct{} // the queue has something

	exchange exchange // owned by run

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

func newLane(s *servers, b *board, p *partition, does duty, spare *spares) *lane {
	return &lane{
		servers: s, board: b, partition: p, does: does, wording: newWording(p.prefix, s), spare: spare,
		wake: make(chan struct{}, 1), exchange: exchange{servers: s, partition: p, check: newCheck(p.prefix)},
	}
}

// publish queues a message. It is answered when Redis has confirmed, or when
// answerTimeout is over.
func (l *lane) publish(m Message, o PublishOptions, done func(Position, error)) {
	p := l.spare.take(o.HistorySize > 0 || m.Key != "")
	p.replicas, p.deadline, p.done = o.Replicas, time.Now().Add(answerTimeout), done
	p.say(&l.wording, &m, o)
	if !l.enqueue(p) {
		p.done(Position{}, notPublished(p.channel, errNotRunning))
	}
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
			l.exchange.letGo()
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
		_ = l.servers.wall(func() error {
			for next < len(batch) {
				p := batch[next]
				next++
				p.done(p.result(err))
			}
			return nil
		})
	}
	_ = l.servers.wall(func() error { l.board.rest(); return nil })
}

// flush sends a batch and answers each publication.
func (l *lane) flush(ctx context.Context, batch []*publication) {
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	err := l.servers.wall(func() error {
		l.exchange.send(ctx, batch)
		l.exchange.send(ctx, unknownScripts(batch))
		l.noteFailures(batch)
		return nil
	})
	mine := l.unanswered(batch)
	l.answer(mine, err)
	l.spare.give(mine)
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

// probe finds out, after a publish that failed, whether anything can be published, and
// tells of it until it can. A refusal may be about one channel only; and a Redis that
// does not answer publishes may answer all else. Where it answers nothing the link tells.
func (l *lane) probe() {
	l.publish(Message{Channel: probeChannel}, PublishOptions{HistorySize: 1, HistoryTTL: time.Second}, func(_ Position, err error) {
		switch {
		case err == nil:
			l.board.up(part{l.partition, l.does})
			l.probing.Store(false)
			return
		case errors.Is(err, errNotRunning):
			return
		}
		if refusalKind(err) != "" || isSilence(err) && l.partition.answersAll() {
			l.board.lost(part{l.partition, l.does}, err)
		}
		time.AfterFunc(probeEvery, l.probe)
	})
}

// probeChannel has a space in it: no client can name it.
const (
	probeChannel = " probe"
	probeEvery   = time.Second
)

// noteFailures counts what of a batch was refused, and has that looked into, and what was
// not answered.
func (l *lane) noteFailures(batch []*publication) {
	failed := false
	for _, p := range batch {
		if err := p.command.Err(); err != nil && (l.servers.refusals.note(err) || isSilence(err)) {
			failed = true
		}
	}
	if failed && !l.probing.Swap(true) {
		l.probe()
	}
}
