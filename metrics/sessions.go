package metrics

import "github.com/prometheus/client_golang/prometheus"

// Sessions counts sessions.
type Sessions struct {
	Ended   Counters           // without long-polls, by reason
	Refused Counters           // with long-polls, by error code
	Slow    prometheus.Counter // closed because they were too slow

	open   *prometheus.GaugeVec
	opened prometheus.Counter
	polls  prometheus.Counter
	cut    *prometheus.CounterVec // connections without a session
}

func newSessions(r registrar) Sessions {
	return Sessions{
		Ended:   Counters{r.counters("session_closed_total", "Sessions closed.", "reason")},
		Refused: Counters{r.counters("session_refused_total", "Refused sessions and long-polls, by error code.", "code")},
		Slow:    r.counter("slow_sessions_total", "Sessions closed because the client was too slow."),
		open:    r.gauges("sessions", "Open sessions.", "transport", "protocol"),
		opened:  r.counter("session_opened_total", "Sessions opened."),
		polls:   r.counter("polls_total", "Long-polls. They are not counted as opened or closed sessions."),
		cut:     r.counters("connection_refused_total", "HTTP connections, and requests over HTTP/2, that were closed because of a limit.", "limit"),
	}
}

// longPoll is a transport with a new session for each request. In the counters of opened
// and closed sessions, they would hide all others.
const longPoll = "longpoll"

// Opened counts a session that has opened.
func (s *Sessions) Opened(transport, protocol string) {
	if transport == longPoll {
		s.polls.Inc()
	} else {
		s.opened.Inc()
	}
	s.open.WithLabelValues(transport, protocol).Inc()
}

// Closed counts a session that has closed.
func (s *Sessions) Closed(transport, protocol, reason string) {
	if transport != longPoll {
		s.Ended.Count(reason)
	}
	s.open.WithLabelValues(transport, protocol).Dec()
}

// ConnectionsRefused returns the counter of HTTP connections that were refused because of a
// limit, which must be of a fixed set.
func (s *Sessions) ConnectionsRefused(limit string) prometheus.Counter {
	return s.cut.WithLabelValues(limit)
}
