package gateway

import (
	"log/slog"
	"slices"
)

// boundOutboxes closes sessions while more waits in all for peers that do not
// keep up than most, the limit, allows: first the one for which most waits. A message
// counts for each session that it waits for, though they share its memory.
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
