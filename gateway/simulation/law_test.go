package simulation_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The law: from its first subscribe on, each client receives every confirmed message of its
// channel once and in order, or it is told of a loss. On a channel with history, and if Redis
// has lost no data, being told does not suffice. In addition:
//
//	no client receives a message twice in one epoch
//	a cursor denotes the same message for all clients and publishers
//	an idempotency key never produces two messages, unless Redis loses data
//	an unconfirmed message arrives at most once between two notices of loss
//
// A client is told of a loss by a gap, by a subscribe that did not recover, or by having been
// disconnected without a cursor. (One who resumes with a cursor from before the first message, on
// a channel that was deleted, cannot be told: see excused.) The notice may come after messages that were in flight: it
// covers messages published before it, and must come within wordWithin after the client
// received a later message, or promptWord if no history has to be read in vain first.
const (
	wordWithin = 30 * time.Second
	promptWord = 5 * time.Second
)

// judge compares the logs of all clients with what was published.
func (w *world) judge() {
	for _, s := range w.streams {
		w.note("%s: %d published, the last confirmed was %d", s.channel, len(s.published), s.last())
		s.judgeCursors()
		s.seeUnconfirmed()
	}
	for _, c := range w.clients {
		j := judgment{client: c, published: c.stream.published, whole: c.stream.whole() && w.gentle && c.tongue != pusherTongue{}}
		for _, wrong := range j.pass() {
			w.blame("%s on %s: %s", c.name, c.stream.channel, wrong)
		}
	}
}

// judgeCursors checks that each cursor denotes the same message in all logs and replies, and
// that each idempotency key has produced one message.
func (s *stream) judgeCursors() {
	means := make(map[string]int)
	cursors := make(map[int]map[string]string) // by number and offset
	note := func(who, cursor string, number int) {
		if cursor == "" {
			return
		}
		if other, known := means[cursor]; known && other != number {
			s.world.blame("%s: by the cursor %s %s has heard %d, and another %d", s.channel, cursor, who, number, other)
		}
		means[cursor] = number
		if cursors[number] == nil {
			cursors[number] = make(map[string]string)
		}
		cursors[number][offsetOf(cursor)] = cursor + " of " + who
	}
	for _, p := range s.published {
		note("the publisher", p.cursor, p.number)
	}
	for _, c := range s.world.clients {
		if c.stream != s {
			continue
		}
		for _, h := range c.all {
			note(c.name, h.cursor, h.number)
		}
	}
	for number, offsets := range cursors {
		if s.world.gentle && len(offsets) > 1 {
			s.world.blame("%s: the key of %d has made more than one message: %v", s.channel, number, slices.Sorted(maps.Values(offsets)))
		}
	}
}

// seeUnconfirmed counts the unconfirmed publishes that were delivered and those that were not.
func (s *stream) seeUnconfirmed() {
	heard := make(map[int]bool)
	for _, c := range s.world.clients {
		for _, h := range c.all {
			heard[h.number] = heard[h.number] || c.stream == s
		}
	}
	for _, p := range s.published {
		switch {
		case !p.confirmed && heard[p.number]:
			s.world.sees("publish not confirmed, and heard")
		case !p.confirmed:
			s.world.sees("publish not confirmed, and not heard")
		case s.world.gentle && s.kept() && p.tries > 1:
			s.world.sees("publish confirmed after more than one try")
		}
	}
}

// last returns the number of the last confirmed message.
func (s *stream) last() (number int) {
	for _, p := range s.published {
		if p.confirmed {
			number = p.number
		}
	}
	return number
}

// judgment checks the log of one client.
type judgment struct {
	client    *client
	published []publication
	whole     bool // whether each message must arrive, and a notice of loss does not suffice

	wrong []string
}

func (j *judgment) pass() (wrong []string) {
	if len(j.client.log) == 0 {
		j.blame("has heard nothing at all")
		return j.wrong
	}
	j.order()
	j.missing(j.client.left)
	return j.wrong
}

func (j *judgment) blame(format string, args ...any) {
	j.wrong = append(j.wrong, fmt.Sprintf(format, args...))
}

// order looks for messages that arrived twice or out of order.
func (j *judgment) order() {
	newest := 0                   // the newest confirmed message since the last notice of loss
	here := make(map[int]bool)    // all messages since then
	ever := make(map[string]bool) // all messages, by cursor
	for _, h := range j.client.log {
		switch {
		case h.number < 0 || h.number > len(j.published):
			j.blame("heard %d, which nobody has published", h.number)
			continue
		case h.number == 0:
			newest, here = 0, make(map[int]bool)
			continue
		case h.cursor != "" && ever[h.cursor]:
			j.blame("heard %d twice by the cursor %s, at %.3f", h.number, h.cursor, j.client.since(h.at))
		case here[h.number]:
			j.blame("heard %d twice, at %.3f by the cursor %s", h.number, j.client.since(h.at), h.cursor)
		case h.number < newest && j.published[h.number-1].confirmed:
			j.blame("heard %d after %d, at %.3f", h.number, newest, j.client.since(h.at))
		}
		here[h.number], ever[h.cursor] = true, true
		if j.published[h.number-1].confirmed {
			newest = max(newest, h.number)
		}
	}
}

// missing looks for confirmed messages that never arrived, without a notice of loss. Messages
// that were in flight when the client left for good may be missing.
func (j *judgment) missing(left time.Time) {
	entered := j.client.log[0].at
	heard := make(map[int]time.Time) // when each message first arrived
	for _, h := range j.client.log {
		if _, before := heard[h.number]; h.number > 0 && !before {
			heard[h.number] = h.at
		}
	}
	within := promptWord
	if j.client.stream.kept() {
		within = wordWithin
	}
	next := left // when a later message first arrived
	later := j.client.kind == "steady"
	for i := len(j.published) - 1; i >= 0; i-- {
		p := &j.published[i]
		if at, here := heard[p.number]; here {
			if at.Before(next) {
				next = at
			}
			later = true
			continue
		}
		if !later || !p.confirmed || !p.begun.After(entered) {
			continue
		}
		if j.excused(p) {
			continue
		}
		if j.whole || !j.client.told(p.begun, next.Add(within)) {
			j.blame("%d, confirmed at %.3f, is missing; a later one was heard at %.3f", p.number, j.client.since(p.ended), j.client.since(next))
		}
	}
}

// excused reports whether the client has resumed with a cursor from before the first message of
// its channel after the message was deleted with all that Redis knew of the channel: it looks
// like a channel that never had any.
func (j *judgment) excused(p *publication) bool {
	return slices.ContainsFunc(j.client.stream.deleted, func(deleted time.Time) bool {
		return p.begun.Before(deleted) && slices.ContainsFunc(j.client.unborn, deleted.Before)
	})
}

// told reports whether the log has a notice of loss between two times.
func (c *client) told(from, to time.Time) bool {
	for _, h := range c.log {
		if h.told != "" && !h.at.Before(from) && (!h.at.After(to) || !h.known.IsZero() && !h.known.After(to)) {
			return true
		}
	}
	return false
}

func (c *client) since(t time.Time) float64 { return t.Sub(c.world.began).Seconds() }

func epochOf(cursor string) string {
	epoch, _, _ := strings.Cut(cursor, ":")
	return epoch
}

func offsetOf(cursor string) string {
	_, offset, _ := strings.Cut(cursor, ":")
	return offset
}
