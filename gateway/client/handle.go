package client

import (
	"math/rand/v2"
	"time"
)

// handle does what a frame says. It is called by l.read only.
func (c *Client) handle(l *link, f *frame) {
	switch f.Type {
	case "message":
		c.deliver(l, f, f.message())
	case "gap":
		c.deliver(l, f, Gap{Channel: f.Channel})
	case "join":
		c.deliver(l, f, Join{Channel: f.Channel, User: f.User, Session: f.Session, Info: f.Info})
	case "leave":
		c.deliver(l, f, Leave{Channel: f.Channel, User: f.User, Session: f.Session})
	case "presence_changed":
		c.deliver(l, f, PresenceChanged{Channel: f.Channel})
	case "subscribed":
		c.confirm(l, f)
	case "unsubscribed":
		c.unsubscribed(l, f)
	case "published", "presence", "history":
		c.answer(f)
	case "error":
		c.fail(l, f)
	case "reconnect":
		if !l.moved {
			l.moved = true
			close(l.moving)
		}
	}
}

// fail handles an error, of a call or of a subscribe. One without id concerns
// what nobody waits for.
func (c *Client) fail(l *link, f *frame) {
	err := &Error{Code: f.Code, Message: f.Message}
	c.mu.Lock()
	defer c.mu.Unlock()
	if asked, ok := l.answered(f.ID); ok {
		c.refuse(l, asked.subscription, err)
		return
	}
	call := c.calls[f.ID]
	switch {
	case call == nil || call.link != l: // another link will answer it
	case err.temporary():
		call.last = err
		l.later(spread(time.Second), func() { c.sendAgain(l, call) })
	default:
		c.complete(call, answer{err: err})
	}
}

// refuse asks again a little later if that may help, and else ends s. The
// caller holds mu.
func (c *Client) refuse(l *link, s *Subscription, err *Error) {
	if err.temporary() {
		s.last = err
		l.later(spread(time.Second), func() { c.askAgain(l, s) })
		return
	}
	c.remove(s)
	s.finish(err)
}

// answered takes a subscribe's question off the link. The caller holds mu.
func (l *link) answered(id int64) (ask, bool) {
	asked, ok := l.asks[id]
	if ok {
		delete(l.asks, id)
		l.settleIfAnswered()
	}
	return asked, ok
}

// settleIfAnswered is called with mu held, once attach has asked all.
func (l *link) settleIfAnswered() {
	if len(l.asks) == 0 && !l.isSettled {
		l.isSettled = true
		close(l.settled)
	}
}

func (c *Client) pingOn(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.push(command{Type: "ping"}.encode())
}

// spread returns about half of d, and never next to nothing.
func spread(d time.Duration) time.Duration { return d/10 + rand.N(d*9/10) }
