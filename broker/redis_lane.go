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

// lane queues and publishes the messages of one partition in shared round trips: while one
// pipeline is under way, the next one fills.
type lane struct {
	// Immutable after construction.
	servers   *servers
	board     *board
	partition *partition
	does      duty
	wording   wording
	spare     *spares
	wake      chan struct{} // the queue is not empty

	exchange exchange // used only by run

	probing atomic.Bool // a probe is under way or scheduled

	// Guarded by mu.
	mu     lock.Mutex[lock.Lane]
	ended  bool
	sent   []*publication // the batch under way
	queue  []*publication // publications behind it, oldest first
	timer  *time.Timer    // fires when the oldest unanswered publication is due
	timing bool           // the timer is running
}

// The most that one pipeline holds, so that a slow network can carry it within answerTimeout.
const (
	publishMost      = 256 // publications
	publishMostBytes = 1 << 20
)

func newLane(s *servers, b *board, p *partition, does duty, spare *spares) *lane {
	return &lane{
		servers: s, board: b, partition: p, does: does, wording: newWording(p.prefix, s), spare: spare,
		wake: make(chan struct{}, 1), exchange: exchange{servers: s, partition: p, check: newCheck(p.prefix)},
	}
}

// publish queues a message. done is called when Redis has confirmed it, or after
// answerTimeout.
func (l *lane) publish(m Message, o PublishOptions, done func(Position, error)) {
	p := l.spare.take(o.HistorySize > 0 || m.Key != "")
	p.replicas, p.deadline, p.done = o.Replicas, time.Now().Add(answerTimeout), done
	p.say(&l.wording, &m, o)
	if !l.enqueue(p) {
		p.done(Position{}, notPublished(p.channel, errNotRunning))
	}
}

// enqueue queues p. It returns false, and p will not be answered, if the lane has ended.
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

// time schedules a call of expire after d. The caller must hold mu.
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

// expire fails the publications that Redis has not confirmed in time.
func (l *lane) expire() {
	late := l.takeLate(time.Now())
	if len(late) == 0 {
		return
	}
	l.partition.suspect()
	l.answer(late, errNoAnswer)
}

// takeLate removes and returns the publications whose deadline is over, and sets the timer
// for the rest.
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
			runtime.Gosched() // publishers that were just answered publish again: let them join
			l.expire()        // however long Redis is away, the queue holds only what came within answerTimeout
			batch = l.take(batch[:0])
			l.flush(ctx, batch)
			clear(batch)
		}
	}
}

// take moves the oldest publications of the queue to batch, which is then under way.
func (l *lane) take(batch []*publication) []*publication {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, size := 0, 0
	for n < min(publishMost, len(l.queue)) {
		if size += l.queue[n].size(); size > publishMostBytes && n > 0 {
			break
		}
		n++
	}
	l.sent = append(batch, l.queue[:n]...)
	l.queue = slices.Delete(l.queue, 0, n)
	if len(l.queue) > 0 {
		l.poke()
	}
	return l.sent
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
	l.answer(queue, errNotRunning)
}

// answer calls done of each publication, with err if it is not nil. If one panics, the
// others are still called.
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

// flush sends a batch and answers its publications.
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

// unanswered ends the batch under way. It returns its publications that are not answered
// yet, and leaves it to the caller to answer them.
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

// probe finds out, after a failed publish, whether anything can be published at all, and
// reports the result to the board, every probeEvery until a publish succeeds. It is needed
// because a refusal may concern one channel only, and because a Redis that does not answer
// publishes, or takes no new connections, may still answer everything else. If Redis answers
// nothing, the link reports that.
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
		if refusalKind(err) != "" || isLost(err) && l.partition.answersAll() {
			l.board.lost(part{l.partition, l.does}, err)
		}
		time.AfterFunc(probeEvery, l.probe)
	})
}

// probeChannel contains a space, so that clients cannot name it.
const (
	probeChannel = " probe"
	probeEvery   = time.Second
)

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
