package simredis

import (
	"fmt"
	"slices"
	"strings"
)

// subscription is a channel, or a sharded one, which is another.
type subscription struct {
	sharded bool
	channel string
}

func (s *Server) subscribe(p *peer, command []string) string {
	var answer strings.Builder
	for _, channel := range command[1:] {
		q := subscription{strings.EqualFold(command[0], "SSUBSCRIBE"), channel}
		if !slices.Contains(s.hearers[q], p) {
			s.hearers[q] = append(s.hearers[q], p)
			p.count(q.sharded, 1)
		}
		answer.WriteString(p.confirmation(command[0], q))
	}
	return answer.String()
}

// unsubscribe ends the subscriptions that are named.
func (s *Server) unsubscribe(p *peer, command []string) string {
	var answer strings.Builder
	for _, channel := range command[1:] {
		q := subscription{strings.EqualFold(command[0], "SUNSUBSCRIBE"), channel}
		if s.forget(p, q) {
			p.count(q.sharded, -1)
		}
		answer.WriteString(p.confirmation(command[0], q))
	}
	return answer.String()
}

// forget ends a subscription, and reports whether it was one.
func (s *Server) forget(p *peer, q subscription) bool {
	hearers := s.hearers[q]
	at := slices.Index(hearers, p)
	if at < 0 {
		return false
	}
	if hearers = slices.Delete(hearers, at, at+1); len(hearers) == 0 {
		delete(s.hearers, q)
	} else {
		s.hearers[q] = hearers
	}
	return true
}

func (p *peer) count(sharded bool, n int) {
	if sharded {
		p.sharded += n
	} else {
		p.plain += n
	}
}

// confirmation says how many subscriptions of this kind there are now.
func (p *peer) confirmation(command string, q subscription) string {
	n := p.plain
	if q.sharded {
		n = p.sharded
	}
	return p.push(3) + bulk(strings.ToLower(command)) + bulk(q.channel) + fmt.Sprintf(":%d\r\n", n)
}

// push begins what is not an answer to a command.
func (p *peer) push(fields int) string {
	if p.parser.Resp3 {
		return fmt.Sprintf(">%d\r\n", fields)
	}
	return fmt.Sprintf("*%d\r\n", fields)
}

// publish tells all who have subscribed, and returns how many these are.
func (s *Server) publish(sharded bool, channel, payload string) int {
	kind := "message"
	if sharded {
		kind = "smessage"
	}
	hearers := s.hearers[subscription{sharded, channel}]
	for _, p := range hearers {
		_, _ = p.conn.Write([]byte(p.push(3) + bulk(kind) + bulk(channel) + bulk(payload)))
	}
	return len(hearers)
}

func (s *Server) publishOutside(_ *peer, command []string) string {
	if len(command) != 3 {
		return fmt.Sprintf("-ERR wrong number of arguments for '%s' command\r\n", strings.ToLower(command[0]))
	}
	return fmt.Sprintf(":%d\r\n", s.publish(strings.EqualFold(command[0], "SPUBLISH"), command[1], command[2]))
}
