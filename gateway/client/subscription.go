package client

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"
)

// SubscribeOptions say how to subscribe. The zero value asks for what is
// published from now on.
type SubscribeOptions struct {
	Cursor string // begin after this message
	NoEcho bool   // leave out what this client publishes over the same connection
}

// Subscription is one channel's events, in order, each once. It outlives lost
// connections. Receive is called by one goroutine at a time.
type Subscription struct {
	// Fixed at birth.
	all     *subscriptions
	channel string
	noEcho  bool
	events  chan Event
	ready   chan struct{} // closed when the first subscribe is confirmed
	done    chan struct{} // closed when the subscription has ended

	// turn is held while an event is delivered, and waits for room in events.
	// It is taken before the outlet's mu.
	turn sync.Mutex

	// Guarded by the outlet's mu.
	from   *link               // whose events count
	asked  *link               // where the last subscribe went
	told   map[fingerprint]int // of messages that from has told since asked was asked in its place; nil: there is nothing to tell apart
	cursor string              // of the last message that was delivered, or where to begin
	live   bool                // was confirmed once
	last   error               // why it was refused for a moment
	err    error               // why it has ended, to be read after done is closed
}

// Receive returns the next event. When the subscription has ended, and its last
// event was received, the error says why: *Error, ErrEnded, or ErrClosed.
func (s *Subscription) Receive(ctx context.Context) (Event, error) {
	select {
	case event := <-s.events:
		return event, nil
	default:
	}
	select {
	case event := <-s.events:
		return event, nil
	case <-s.done:
		return s.lastEvent()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *Subscription) lastEvent() (Event, error) {
	select {
	case event := <-s.events:
		return event, nil
	default:
		return nil, s.err
	}
}

// Close ends the subscription. It may be called more than once, by anyone.
func (s *Subscription) Close() {
	all := s.all
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.list[s.channel] != s {
		return
	}
	all.remove(s)
	s.finish(ErrClosed)
	if all.link != nil {
		all.link.push(command{Type: "unsubscribe", Channel: s.channel}.encode())
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

// subscriptions are those of a client.
type subscriptions struct {
	*outlet
	buffer int // events that each holds

	// Guarded by mu.
	list map[string]*Subscription // by channel
	asks map[int64]ask            // by id
}

// ask is a subscribe that waits for its answer.
type ask struct {
	link         *link
	subscription *Subscription
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
		noEcho:  options.NoEcho,
		events:  make(chan Event, all.buffer),
		ready:   make(chan struct{}),
		done:    make(chan struct{}),
		cursor:  options.Cursor,
	}
	all.list[channel] = s
	if all.link != nil {
		all.ask(all.link, s)
	}
	return s, nil
}

// remove forgets s. The caller holds mu.
func (all *subscriptions) remove(s *Subscription) {
	if all.list[s.channel] == s {
		delete(all.list, s.channel)
	}
}

// finish ends s, once. The caller holds mu, and has removed s.
func (s *Subscription) finish(err error) {
	if s.err == nil {
		s.err = err
		close(s.done)
	}
}

// ask subscribes s on l, from where it is. The caller holds mu.
func (all *subscriptions) ask(l *link, s *Subscription) {
	cmd := command{Type: "subscribe", ID: all.newID(), Channel: s.channel, Cursor: s.cursor}
	if s.noEcho {
		cmd.Echo = new(bool)
	}
	if s.asked, s.told = l, nil; s.from != nil && s.from != l {
		s.told = map[fingerprint]int{}
	}
	all.asks[cmd.ID] = ask{link: l, subscription: s, cursor: s.cursor}
	l.unanswered++
	l.push(cmd.encode())
}

// refuse asks again a little later if that may help, and else ends the subscription.
// It reports whether the id is that of a subscribe on the link.
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
	if all.list[s.channel] == s && all.link == l {
		all.ask(l, s)
	}
}

// answered takes a subscribe on the link for answered. The caller holds mu.
func (all *subscriptions) answered(l *link, id int64) (asked ask, ok bool) {
	if asked, ok = all.asks[id]; !ok || asked.link != l {
		return ask{}, false
	}
	delete(all.asks, id)
	l.answered()
	return asked, true
}

// drop forgets what was asked on a link that has ended. The caller holds mu.
func (all *subscriptions) drop(l *link) {
	maps.DeleteFunc(all.asks, func(_ int64, a ask) bool { return a.link == l })
}
