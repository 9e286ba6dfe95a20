package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"tidegate/gateway"
)

// Notices are the body of a request:
//
//	{"events":[{"event":"member_left","time":"…","node":"…","channel":"…","user":"…"}, …]}
//
//	event           members besides it, time and node
//	disconnect      session, user, remote, code, reason, text
//	channel_…       channel
//	member_…        channel, user
//
// A backend that has taken all of them answers 2xx. With anything else, or no
// answer in time, they are sent again: each arrives at least once.
type notices struct {
	Events []notice `json:"events"`
}

type notice struct {
	Event   gateway.HookEvent `json:"event"`
	Time    time.Time         `json:"time"`
	Node    string            `json:"node,omitempty"`
	Channel string            `json:"channel,omitempty"`
	User    string            `json:"user,omitempty"`
	Session string            `json:"session,omitempty"`
	Remote  string            `json:"remote,omitempty"`
	Code    int               `json:"code,omitempty"`   // the close code
	Reason  string            `json:"reason,omitempty"` // its label
	Text    string            `json:"text,omitempty"`
}

const (
	maxQueue   = 100_000 // notices that wait, some 300 bytes each
	batchSize  = 500
	firstPause = 100 * time.Millisecond // after a failure; doubled at each further one
	longest    = 30 * time.Second
	lastChance = 5 * time.Second // to deliver what waits when the node ends
)

// queue holds the notices that wait for the backend, oldest first.
type queue struct {
	wake chan struct{} // has an element if something came since it was looked at

	// Guarded by mu.
	mu      sync.Mutex
	waiting []waiting
	dropped int // since the last delivery
}

type waiting struct {
	notice notice
	told   func() // nil: nobody wants to know
}

// Tell queues a notice; see gateway.Hooks.
func (w *Webhook) Tell(n gateway.Notice, told func()) bool {
	return w.queue.push(waiting{notice{
		Event: n.Event, Time: n.Time.UTC(), Node: n.Node, Channel: n.Channel, User: n.User, Session: n.Session, Remote: n.Remote,
		Code: n.Reason.Code, Reason: n.Reason.Label, Text: n.Reason.Text,
	}, told})
}

func (q *queue) push(one waiting) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxQueue {
		q.dropped++
		return false
	}
	q.waiting = append(q.waiting, one)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// head returns the oldest notices, which stay in the queue.
func (q *queue) head() []waiting {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), batchSize)
	return q.waiting[:n:n]
}

// shift removes the n oldest, and returns how many found no room meanwhile.
func (q *queue) shift(n int) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.waiting[:n])
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	dropped, q.dropped = q.dropped, 0
	return dropped
}

// deliver sends batches, one after the other, until ctx ends. While one is under
// way the next one fills.
func (w *Webhook) deliver(ctx context.Context) {
	delay := firstPause
	for ctx.Err() == nil {
		batch := w.queue.head()
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
			case <-w.queue.wake:
			}
			continue
		}
		if err := w.send(ctx, batch); err != nil {
			pause(ctx, delay/2+rand.N(delay))
			delay = min(2*delay, longest)
			continue
		}
		delay = firstPause
	}
}

// deliverLast sends what waits when the node ends, until the backend fails or
// time is up.
func (w *Webhook) deliverLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastChance)
	defer cancel()
	for batch := w.queue.head(); len(batch) > 0; batch = w.queue.head() {
		if err := w.send(ctx, batch); err != nil {
			w.log.Error("the node ends, and the webhook's backend did not take the last notices", "error", err)
			return
		}
	}
}

// send returns nil once the backend has taken the batch, which leaves the queue
// then.
func (w *Webhook) send(ctx context.Context, batch []waiting) error {
	body := notices{Events: make([]notice, len(batch))}
	for i := range batch {
		body.Events[i] = batch[i].notice
	}
	encoded, err := json.Marshal(body)
	if err == nil {
		err = w.postNotices(ctx, encoded)
	}
	w.noteAnswered(err)
	if err != nil {
		w.config.Observe("notices", "away")
		return err
	}
	w.config.Observe("notices", "taken")
	for _, one := range batch {
		if one.told != nil {
			one.told()
		}
	}
	if dropped := w.queue.shift(len(batch)); dropped > 0 {
		w.log.Error("notices found no room while the webhook's backend was away", "dropped", dropped)
	}
	return nil
}

func (w *Webhook) postNotices(ctx context.Context, body []byte) error {
	status, _, err := w.post(ctx, body)
	if err != nil {
		return err
	}
	if status < http.StatusOK || status >= http.StatusMultipleChoices {
		return fmt.Errorf("it answered with the status %d", status)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
