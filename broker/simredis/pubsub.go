package simredis

import (
	"slices"
	"strings"

	"github.com/alicebob/miniredis/v2/proto"
)

// hearers are the subscribers of each channel. There are no sharded channels, as no Cluster is modeled.
type hearers map[string][]*peer

func (h hearers) subscribe(p *peer, command []string) string {
	var answer strings.Builder
	for _, channel := range command[1:] {
		if !slices.Contains(h[channel], p) {
			h[channel] = append(h[channel], p)
			p.subscriptions++
		}
		answer.WriteString(p.confirmation(command[0], channel))
	}
	return answer.String()
}

// unsubscribe ends the subscriptions to the channels that the command names.
func (h hearers) unsubscribe(p *peer, command []string) string {
	var answer strings.Builder
	for _, channel := range command[1:] {
		if h.forget(p, channel) {
			p.subscriptions--
		}
		answer.WriteString(p.confirmation(command[0], channel))
	}
	return answer.String()
}

// forget ends a subscription, and reports whether it existed.
func (h hearers) forget(p *peer, channel string) bool {
	hearers := h[channel]
	at := slices.Index(hearers, p)
	if at < 0 {
		return false
	}
	if hearers = slices.Delete(hearers, at, at+1); len(hearers) == 0 {
		delete(h, channel)
	} else {
		h[channel] = hearers
	}
	return true
}

// part ends all subscriptions of a connection.
func (h hearers) part(p *peer) {
	for channel := range h {
		h.forget(p, channel)
	}
}

// confirmation returns the reply to a subscribe or unsubscribe command for one channel. It
// contains the connection's number of subscriptions.
func (p *peer) confirmation(command, channel string) string {
	return p.push(proto.String(strings.ToLower(command)), proto.String(channel), proto.Int(p.subscriptions))
}

// publish sends a message to all subscribers, and returns their number.
func (h hearers) publish(channel, payload string) int {
	for _, p := range h[channel] {
		_, _ = p.conn.Write([]byte(p.push(proto.String("message"), proto.String(channel), proto.String(payload))))
	}
	return len(h[channel])
}
