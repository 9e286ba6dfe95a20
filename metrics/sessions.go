package metrics

import "github.com/prometheus/client_golang/prometheus"

// Sessions count sessions as they come and go.
type Sessions struct {
	open    *prometheus.GaugeVec
	opened  prometheus.Counter
	refused *prometheus.CounterVec
	polls   prometheus.Counter
	closed  *prometheus.CounterVec
	Slow    prometheus.Counter // closed because they did not keep up
}

func newSessions(r registrar) Sessions {
	return Sessions{
		open:    r.gauges("sessions", "Open sessions.", "transport", "protocol"),
		opened:  r.counter("session_opened_total", "Sessions opened."),
		refused: r.counters("session_refused_total", "Sessions and long-polls that were not let in, by the code of the error.", "code"),
		polls:   r.counter("polls_total", "Long-polls: each is a session for as long as it waits, and none that was opened or closed."),
		closed:  r.counters("session_closed_total", "Sessions closed.", "reason"),
		Slow:    r.counter("slow_sessions_total", "Sessions closed because they did not keep up."),
	}
}

// Prepare makes the series of these reasons begin at 0, so that the first close
// of a kind is seen as an increase.
func (s *Sessions) Prepare(reasons ...string) {
	for _, reason := range reasons {
		s.closed.WithLabelValues(reason)
	}
}

// PrepareRefused does the same for sessions that are not let in, by these codes.
func (s *Sessions) PrepareRefused(codes ...string) {
	for _, code := range codes {
		s.refused.WithLabelValues(code)
	}
}

// longPoll is the transport whose sessions come and go with each request: among
// those that are opened and closed they would hide all others.
const longPoll = "longpoll"

// Opened counts a session in.
func (s *Sessions) Opened(transport, protocol string) {
	if transport == longPoll {
		s.polls.Inc()
	} else {
		s.opened.Inc()
	}
	s.open.WithLabelValues(transport, protocol).Inc()
}

// Closed counts it out.
func (s *Sessions) Closed(transport, protocol, reason string) {
	if transport != longPoll {
		s.closed.WithLabelValues(reason).Inc()
	}
	s.open.WithLabelValues(transport, protocol).Dec()
}

// Refused counts a session that was not let in, by an error of a closed set.
func (s *Sessions) Refused(code string) { s.refused.WithLabelValues(code).Inc() }
