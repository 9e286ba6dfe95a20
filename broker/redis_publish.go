package broker

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// lane publishes what one partition's publishers queue, in shared round trips:
// while one pipeline is under way, the next one gathers.
type lane struct {
	broker *Redis
	prefix string
	link   *link
	queue  chan *publication
}

// publication is one message on its way to Redis.
type publication struct {
	command  *redis.Cmd
	script   bool // the command is the append script
	deadline time.Time
	done     chan error // receives once; nobody may be waiting anymore
}

const (
	laneQueue   = 1024
	publishMost = 64 // publications of one pipeline
)

func newLane(b *Redis, prefix string, l *link) *lane {
	return &lane{broker: b, prefix: prefix, link: l, queue: make(chan *publication, laneQueue)}
}

// publish returns once Redis has confirmed, or when answerTimeout is over.
func (l *lane) publish(ctx context.Context, m Message, o PublishOptions) (Position, error) {
	if err := ctx.Err(); err != nil {
		return Position{}, err
	}
	p := l.publication(ctx, m, o)
	if err := l.wait(ctx, p); err != nil {
		return Position{}, err
	}
	if !p.script {
		return Position{}, nil
	}
	cursor, err := p.command.Text()
	if err != nil {
		return Position{}, err
	}
	return ParsePosition(cursor)
}

func (l *lane) publication(ctx context.Context, m Message, o PublishOptions) *publication {
	p := &publication{deadline: time.Now().Add(answerTimeout), done: make(chan error, 1)}
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

// envelopeRoom is what an envelope needs beside the strings of its message.
const envelopeRoom = 96

func (b *Redis) publishCommand() string {
	if b.clustered {
		return "spublish"
	}
	return "publish"
}

func (l *lane) wait(ctx context.Context, p *publication) error {
	timer := time.NewTimer(time.Until(p.deadline))
	defer timer.Stop()
	select {
	case l.queue <- p:
	case <-timer.C:
		return errNoAnswer
	case <-ctx.Done():
		return ctx.Err()
	case <-l.broker.ended:
		return errNotRunning
	}
	select {
	case err := <-p.done:
		return err
	case <-timer.C:
		l.link.suspect()
		return errNoAnswer
	case <-ctx.Done():
		return ctx.Err()
	case <-l.broker.ended:
		return errNotRunning
	}
}

// run sends until ctx ends.
func (l *lane) run(ctx context.Context) {
	batch := make([]*publication, 0, publishMost)
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-l.queue:
			batch = l.gather(append(batch[:0], p))
			l.flush(ctx, batch)
			clear(batch)
		}
	}
}

// gather takes what else is queued, without waiting for more.
func (l *lane) gather(batch []*publication) []*publication {
	for len(batch) < publishMost {
		select {
		case p := <-l.queue:
			batch = append(batch, p)
		default:
			return batch
		}
	}
	return batch
}

// flush sends a batch and answers each publication. What nobody waits for any
// more is not sent: it was answered.
func (l *lane) flush(ctx context.Context, batch []*publication) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	now := time.Now()
	live := batch[:0]
	for _, p := range batch {
		if now.Before(p.deadline) {
			live = append(live, p)
		}
	}
	l.exchange(ctx, live)
	l.exchange(ctx, l.unknownScripts(live))
	for _, p := range live {
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
