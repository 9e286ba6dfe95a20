package metrics

import "github.com/prometheus/client_golang/prometheus"

// Sessions counts sessions.
type Sessions struct {
	open    *prometheus.GaugeVec
	opened  prometheus.Counter
	refused *prometheus.CounterVec
	polls   prometheus.Counter
	closed  *prometheus.CounterVec
	cut     *prometheus.CounterVec // connections without a session
	Slow    prometheus.Counter     // closed because they were too slow
}

func newSessions(r registrar) Sessions {
	return Sessions{
		open:    r.gauges("sessions", "Open sessions.", "transport", "protocol"),
		opened:  r.counter("session_opened_total", "Sessions opened."),
		refused: r.counters("session_refused_total", "Refused sessions and long-polls, by error code.", "code"),
		polls:   r.counter("polls_total", "Long-polls. They are not counted as opened or closed sessions."),
		closed:  r.counters("session_closed_total", "Sessions closed.", "reason"),
		cut:     r.counters("connection_refused_total", "HTTP connections, and requests over HTTP/2, that were closed because of a limit.", "limit"),
		Slow:    r.counter("slow_sessions_total", "Sessions closed because the client was too slow."),
	}
}

// Prepare creates the series of these reasons with the value 0, so that the first close
// shows as an increase.
func (s *Sessions) Prepare(reasons ...string) {
	for _, reason := range reasons {
		s.closed.WithLabelValues(reason)
	}
}

// PrepareRefused creates the series of refused sessions with these codes with the value 0.
func (s *Sessions) PrepareRefused(codes ...string) {
	for _, code := range codes {
		s.refused.WithLabelValues(code)
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
		s.closed.WithLabelValues(reason).Inc()
	}
	s.open.WithLabelValues(transport, protocol).Dec()
}

// Refused counts a session that was refused. code must be of a fixed set.
func (s *Sessions) Refused(code string) { s.refused.WithLabelValues(code).Inc() }

// ConnectionsRefused returns the counter of HTTP connections that were refused because of a
// limit, which must be of a fixed set.
func (s *Sessions) ConnectionsRefused(limit string) prometheus.Counter {
	return s.cut.WithLabelValues(limit)
}
