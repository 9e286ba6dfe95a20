package gateway

import (
	"log/slog"
	"slices"
)

// boundOutboxes closes sessions that do not keep up while more than most bytes wait for all
// of them together, starting with the one with the most waiting. A message counts once for
// each session, although sessions share its memory.
func (r *sessions) boundOutboxes(most int, log *slog.Logger) {
	if most <= 0 {
		return
	}
	slow, total := r.slow()
	if total <= most {
		return
	}
	slices.SortFunc(slow, func(a, b slowSession) int { return b.bytes - a.bytes })
	closed := 0
	for _, s := range slow {
		if total <= most {
			break
		}
		s.session.Close(SlowConsumer.With("too much waits on this node in all, most of it for this client"))
		total -= s.bytes
		closed++
	}
	log.Warn("closed the slowest sessions: limits.outbox_total_bytes was exceeded", "sessions", closed, "limit", most)
}
