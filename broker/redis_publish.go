package broker

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// lane publishes what one partition's publishers queue, in shared round trips:
// while one pipeline is under way, the next one gathers.
type lane struct {
	// Fixed at birth.
	broker *Redis
	prefix string
	link   *link
	wake   chan struct{} // the queue has something
	spare  sync.Pool     // publications that were answered

	// Guarded by mu.
	mu    sync.Mutex
	ended bool
	queue []*publication // the oldest first
}

// publication is one message on its way to Redis.
type publication struct {
	command  *redis.Cmd
	script   bool // the command is the append script
	deadline time.Time
	timer    *time.Timer // of the deadline
	done     chan error  // receives once; nobody may be waiting anymore
}

const publishMost = 64 // publications of one pipeline

func newLane(b *Redis, prefix string, l *link) *lane {
	return &lane{broker: b, prefix: prefix, link: l, wake: make(chan struct{}, 1)}
}

// publish returns once Redis has confirmed, or when answerTimeout is over.
func (l *lane) publish(ctx context.Context, m Message, o PublishOptions) (Position, error) {
	if err := ctx.Err(); err != nil {
		return Position{}, err
	}
	p := l.publication(ctx, m, o)
	command, script := p.command, p.script // p is another's once it was answered
	if err := l.enqueue(p); err != nil {
		return Position{}, err
	}
	if err := l.wait(ctx, p); err != nil || !script {
		return Position{}, err
	}
	cursor, err := command.Text()
	if err != nil {
		return Position{}, err
	}
	return ParsePosition(cursor)
}

func (l *lane) publication(ctx context.Context, m Message, o PublishOptions) *publication {
	p := l.spared()
	p.script = o.HistorySize > 0 || m.Key != ""
	name := l.prefix + m.Channel
	m.Position = Position{}
	switch {
	case p.script:
		p.command = redis.NewCmd(ctx, l.broker.appendArgs(name, m, o)...)
	case o.Bare:
		p.command = redis.NewCmd(ctx, l.broker.publishCommand(), name, m.Payload)
	default:
		body := make([]byte, 0, len(m.Payload)+len(m.User)+len(m.Session)+len(m.Event)+envelopeRoom)
		p.command = redis.NewCmd(ctx, l.broker.publishCommand(), name, AppendEnvelope(body, m))
	}
	return p
}

// spared returns a publication without a command, whose time runs.
func (l *lane) spared() *publication {
	p, ok := l.spare.Get().(*publication)
	if ok {
		p.timer.Reset(answerTimeout)
	} else {
		p = &publication{timer: time.NewTimer(answerTimeout), done: make(chan error, 1)}
	}
	p.deadline = time.Now().Add(answerTimeout)
	return p
}

// envelopeRoom is what an envelope needs beside the strings of its message.
const envelopeRoom = 96

func (b *Redis) publishCommand() string {
	if b.clustered {
		return "spublish"
	}
	return "publish"
}

func (l *lane) enqueue(p *publication) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return errNotRunning
	}
	l.queue = append(l.queue, p)
	if len(l.queue) == 1 {
		l.poke()
	}
	return nil
}

func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// wait returns p's answer, and spares p. Without an answer p is still the lane's,
// and not spared.
func (l *lane) wait(ctx context.Context, p *publication) error {
	select {
	case err := <-p.done:
		p.timer.Stop()
		p.command = nil
		l.spare.Put(p)
		return err
	case <-p.timer.C:
		l.link.suspect()
		return errNoAnswer
	case <-ctx.Done():
		p.timer.Stop()
		return ctx.Err()
	}
}

// run sends until ctx ends.
func (l *lane) run(ctx context.Context) {
	batch := make([]*publication, 0, publishMost)
	for {
		select {
		case <-ctx.Done():
			l.end()
			return
		case <-l.wake:
			runtime.Gosched() // those who were just answered publish again: let them join
			batch = l.take(batch[:0])
			l.flush(ctx, batch)
			clear(batch)
		}
	}
}

// take moves the oldest of the queue to batch. What nobody waits for any more is
// dropped: it was answered. However long Redis is away, no more is queued than
// what came within answerTimeout and the time of one batch.
func (l *lane) take(batch []*publication) []*publication {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := 0
	for taken < len(l.queue) && len(batch) < publishMost {
		if p := l.queue[taken]; now.Before(p.deadline) {
			batch = append(batch, p)
		}
		taken++
	}
	l.queue = slices.Delete(l.queue, 0, taken)
	if len(l.queue) > 0 {
		l.poke()
	}
	return batch
}

// end answers what is queued, and whatever comes later.
func (l *lane) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for _, p := range l.queue {
		p.done <- errNotRunning
	}
	l.queue = nil
}

// flush sends a batch and answers each publication.
func (l *lane) flush(ctx context.Context, batch []*publication) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	l.exchange(ctx, batch)
	l.exchange(ctx, l.unknownScripts(batch))
	for _, p := range batch {
		p.done <- p.command.Err()
	}
}

// exchange sends publications in one pipeline, and again to the new master those
// that were sent to the wrong one. Only these are sent twice: Redis said that it
// did not take them.
func (l *lane) exchange(ctx context.Context, batch []*publication) {
	for attempt := 0; len(batch) > 0; attempt++ {
		l.pipeline(ctx, batch)
		batch = slices.DeleteFunc(slices.Clone(batch), func(p *publication) bool {
			return !wrongMaster(p.command.Err())
		})
		if len(batch) == 0 || attempt == masterAttempts || !l.broker.findMaster(ctx) {
			return
		}
	}
}

func (l *lane) pipeline(ctx context.Context, batch []*publication) {
	client, err := l.broker.topology.client(ctx, l.prefix)
	if err != nil {
		for _, p := range batch {
			p.command.SetErr(err)
		}
		return
	}
	start := time.Now()
	pipe := client.Pipeline()
	for _, p := range batch {
		p.command.SetErr(nil)
		pipe.Process(ctx, p.command)
	}
	if _, err = pipe.Exec(ctx); isLost(err) {
		l.broker.topology.stale(ctx)
		return
	}
	if observe := l.broker.config.Observe.RoundTrip; observe != nil {
		observe(time.Since(start))
	}
}

// unknownScripts returns the publications that Redis refused because it does not
// know the script, with the script itself in place of its hash.
func (l *lane) unknownScripts(batch []*publication) []*publication {
	var again []*publication
	for _, p := range batch {
		if p.script && redis.HasErrorPrefix(p.command.Err(), "NOSCRIPT") {
			args := p.command.Args()
			args[0], args[1] = "eval", AppendScript
			again = append(again, p)
		}
	}
	return again
}
