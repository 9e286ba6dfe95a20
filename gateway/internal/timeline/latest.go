package timeline

import "tidegate/broker"

// Latest is the last message of a channel, kept apart from its tail, which forgets. The
// zero value has none. Calls must not overlap.
type Latest struct {
	message broker.Message
	weight  int // 0: there is none
}

// Message returns the message; nil: there is none. It is good until Keep or Drop.
func (l *Latest) Message() *broker.Message {
	if l.weight == 0 {
		return nil
	}
	return &l.message
}

// Keep keeps m in place of what was kept, unless that is more than all of a node may take:
// then nothing is kept.
func (l *Latest) Keep(m *broker.Message, s *Store) {
	l.Drop(s)
	weight := len(m.Payload) + latestOverhead
	if s.latest.Add(int64(weight)) > latestMost {
		s.latest.Add(-int64(weight))
		return
	}
	l.message, l.weight = *m, weight
}

const latestOverhead = 512

// Drop lets go of the message.
func (l *Latest) Drop(s *Store) {
	s.latest.Add(-int64(l.weight))
	*l = Latest{}
}
