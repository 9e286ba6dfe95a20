package simredis

import (
	"fmt"
	"slices"
	"strings"
)

// subscription identifies a channel. Sharded and plain channels of the same name differ.
type subscription struct {
	sharded bool
	channel string
}

// hearers are the subscribers of each channel.
type hearers map[subscription][]*peer

func (h hearers) subscribe(p *peer, command []string) string {
	var answer strings.Builder
	for _, channel := range command[1:] {
		q := subscription{strings.EqualFold(command[0], "SSUBSCRIBE"), channel}
		if !slices.Contains(h[q], p) {
			h[q] = append(h[q], p)
			p.count(q.sharded, 1)
		}
		answer.WriteString(p.confirmation(command[0], q))
	}
	return answer.String()
}

// unsubscribe ends the subscriptions to the channels that the command names.
func (h hearers) unsubscribe(p *peer, command []string) string {
	var answer strings.Builder
	for _, channel := range command[1:] {
		q := subscription{strings.EqualFold(command[0], "SUNSUBSCRIBE"), channel}
		if h.forget(p, q) {
			p.count(q.sharded, -1)
		}
		answer.WriteString(p.confirmation(command[0], q))
	}
	return answer.String()
}

// forget ends a subscription, and reports whether it existed.
func (h hearers) forget(p *peer, q subscription) bool {
	hearers := h[q]
	at := slices.Index(hearers, p)
	if at < 0 {
		return false
	}
	if hearers = slices.Delete(hearers, at, at+1); len(hearers) == 0 {
		delete(h, q)
	} else {
		h[q] = hearers
	}
	return true
}

// part ends all subscriptions of a connection.
func (h hearers) part(p *peer) {
	for q := range h {
		h.forget(p, q)
	}
}

func (p *peer) count(sharded bool, n int) {
	if sharded {
		p.sharded += n
	} else {
		p.plain += n
	}
}

// confirmation returns the reply to a subscribe or unsubscribe command for one channel. It
// contains the connection's number of subscriptions of that kind.
func (p *peer) confirmation(command string, q subscription) string {
	n := p.plain
	if q.sharded {
		n = p.sharded
	}
	return p.push(3) + bulk(strings.ToLower(command)) + bulk(q.channel) + fmt.Sprintf(":%d\r\n", n)
}

// publish sends a message to all subscribers, and returns their number.
func (h hearers) publish(sharded bool, channel, payload string) int {
	kind := "message"
	if sharded {
		kind = "smessage"
	}
	hearers := h[subscription{sharded, channel}]
	for _, p := range hearers {
		_, _ = p.conn.Write([]byte(p.push(3) + bulk(kind) + bulk(channel) + bulk(payload)))
	}
	return len(hearers)
}
