package client

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// SubscribeOptions are the options of Subscribe. The zero value asks for messages
// published from now on.
type SubscribeOptions struct {
	Cursor string // start after this message
	Recent int    // start with so many of the last messages; ignored if there is a Cursor
	NoEcho bool   // leave out messages that this client publishes over the same connection
}

// Subscription delivers the events of one channel, in order, each once. It survives lost
// connections. Receive must not be called concurrently.
type Subscription struct {
	// Fixed at birth.
	all     *subscriptions
	channel string
	recent  int
	noEcho  bool
	events  chan Event
	ready   chan struct{} // closed when the first subscribe is confirmed
	done    chan struct{} // closed when the subscription has ended

	// turn is held while an event is delivered, including the wait for room in events. It
	// is taken before the outlet's mu.
	turn chan struct{} // of capacity 1

	// Guarded by the outlet's mu.
	from   *link               // the link whose events are accepted
	asked  *link               // the link of the last subscribe
	told   map[fingerprint]int // number of messages that from has delivered since the subscribe on asked; nil if none can come twice
	cursor string              // of the last message delivered, or where to start
	live   bool                // has been confirmed once
	last   error               // the last temporary refusal
	err    error               // why it has ended; may be read without mu after done is closed
}

// Receive blocks until the next event and returns it. Once the subscription has ended and
// all events have been received, it returns an *Error, ErrEnded or ErrClosed. If ctx ends,
// it returns the cause.
func (s *Subscription) Receive(ctx context.Context) (Event, error) {
	var over error
	for {
		select {
		case event := <-s.events:
			return event, nil
		default:
		}
		if over != nil { // and there was no other event
			return nil, over
		}
		select {
		case event := <-s.events:
			return event, nil
		case <-s.done:
			over = s.err
		case <-ctx.Done():
			over = context.Cause(ctx)
		}
	}
}

// Close ends the subscription. It may be called more than once and concurrently.
func (s *Subscription) Close() {
	all := s.all
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.list[s.channel] != s {
		return
	}
	all.remove(s)
	s.finish(ErrClosed)
	if l := all.open(); l != nil {
		all.send(l, s, command{Type: "unsubscribe"})
	}
}

func (s *Subscription) overdue(ctx context.Context) error {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	if s.last != nil {
		return fmt.Errorf("%w; the last answer was: %w", context.Cause(ctx), s.last)
	}
	return context.Cause(ctx)
}

// subscriptions holds the Subscriptions of a client.
type subscriptions struct {
	*outlet
	buffer int // capacity of each Subscription's buffer

	// Guarded by mu.
	list map[string]*Subscription // by channel
	asks map[int64]ask            // by id
}

// ask is a subscribe or an unsubscribe that waits for its answer.
type ask struct {
	link         *link
	subscription *Subscription
	kind         string
	cursor       string
}

func (all *subscriptions) add(channel string, options SubscribeOptions) (*Subscription, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case all.end != nil:
		return nil, all.end
	case all.list[channel] != nil:
		return nil, ErrSubscribed
	}
	s := &Subscription{
		all:     all,
		channel: channel,
		recent:  options.Recent,
		noEcho:  options.NoEcho,
		events:  make(chan Event, all.buffer),
		ready:   make(chan struct{}),
		done:    make(chan struct{}),
		turn:    make(chan struct{}, 1),
		cursor:  options.Cursor,
	}
	all.list[channel] = s
	if l := all.open(); l != nil {
		all.ask(l, s)
	}
	return s, nil
}

// remove removes s from the list. The caller must hold mu.
func (all *subscriptions) remove(s *Subscription) {
	if all.list[s.channel] == s {
		delete(all.list, s.channel)
	}
}

// finish ends s unless it has ended. The caller must hold mu.
func (s *Subscription) finish(err error) {
	if s.err == nil {
		s.err = err
		close(s.done)
	}
}

// ask sends a subscribe for s on l, from its current cursor. The caller must hold mu.
func (all *subscriptions) ask(l *link, s *Subscription) {
	cmd := command{Type: "subscribe", Cursor: s.cursor}
	if s.noEcho {
		cmd.Echo = new(bool)
	}
	cmd.Recent = s.recent
	if s.asked, s.told = l, nil; s.from != nil && s.from != l {
		s.told = map[fingerprint]int{}
	}
	l.unanswered++
	all.send(l, s, cmd)
}

// send sends a subscribe or an unsubscribe. The caller must hold mu.
func (all *subscriptions) send(l *link, s *Subscription, cmd command) {
	cmd.ID, cmd.Channel = all.newID(), s.channel
	all.asks[cmd.ID] = ask{link: l, subscription: s, kind: cmd.Type, cursor: cmd.Cursor}
	l.push(cmd.encode())
}

// refuse handles an error that answers a subscribe or an unsubscribe on l: it does the same
// again a little later if the error is temporary, else it ends the subscription. It reports
// whether id belongs to one on l.
func (all *subscriptions) refuse(l *link, id int64, err *Error) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	asked, ok := all.answered(l, id)
	s := asked.subscription
	switch {
	case !ok:
	case err.temporary():
		s.last = err
		l.later(spread(time.Second), func() { all.askAgain(l, s) })
	default:
		all.remove(s)
		s.finish(err)
	}
	return ok
}

func (all *subscriptions) askAgain(l *link, s *Subscription) {
	all.mu.Lock()
	defer all.mu.Unlock()
	switch current := all.list[s.channel]; {
	case all.link != l:
	case current == s:
		all.ask(l, s)
	case current == nil:
		all.send(l, s, command{Type: "unsubscribe"})
	}
}

// answered records that an ask on l was answered, and returns it. The caller must hold mu.
func (all *subscriptions) answered(l *link, id int64) (asked ask, ok bool) {
	if asked, ok = all.asks[id]; !ok || asked.link != l {
		return ask{}, false
	}
	delete(all.asks, id)
	if asked.kind == "subscribe" {
		l.answered()
	}
	return asked, true
}

// drop forgets the asks on a link that has ended. The caller must hold mu.
func (all *subscriptions) drop(l *link) {
	maps.DeleteFunc(all.asks, func(_ int64, a ask) bool { return a.link == l })
}
