package timeline

import "tidegate/broker"

// Latest holds the last message of a channel. Unlike the tail, it does not expire. The zero
// value holds nothing. Its methods must not be called concurrently.
type Latest struct {
	message broker.Message
	weight  int // 0 if there is no message
}

// Message returns the message, or nil if there is none. The pointer is valid until the next
// call of Keep or Drop.
func (l *Latest) Message() *broker.Message {
	if l.weight == 0 {
		return nil
	}
	return &l.message
}

// Keep replaces the message by m. If that would exceed what all channels of the node may
// hold, Keep stores nothing and the old message is gone, too.
func (l *Latest) Keep(m *broker.Message, s *Store) {
	l.Drop(s)
	weight := m.Size() + messageOverhead
	if s.latest.Add(int64(weight)) > latestMost {
		s.latest.Add(-int64(weight))
		return
	}
	l.message, l.weight = *m, weight
}

// Drop discards the message.
func (l *Latest) Drop(s *Store) {
	s.latest.Add(-int64(l.weight))
	*l = Latest{}
}
