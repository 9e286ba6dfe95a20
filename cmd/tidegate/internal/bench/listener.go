package bench

import (
	"sync/atomic"
	"time"
)

// listener is a session that is subscribed to one channel, with counts of what it received.
type listener struct {
	// Immutable.
	client  *Client
	channel *channel
	window  *window
	latency *latencyRecorder

	received atomic.Uint64
	last     atomic.Uint64 // number of the last publication
	missed   atomic.Uint64
	repeated atomic.Uint64
	closed   atomic.Pointer[error] // why the connection ended; nil while connected

	// Owned by listen.
	arrived []time.Duration // latencies of the messages of one read
}

// listen reads and counts publications until the connection ends.
func (l *listener) listen() {
	for {
		frame, err := l.client.Read()
		if err != nil {
			l.closed.Store(&err)
			return
		}
		now := time.Since(epoch)
		for l.note(frame, now); l.client.whole(); l.note(frame, now) {
			if frame, err = l.client.Read(); err != nil {
				l.closed.Store(&err)
				return
			}
		}
		l.latency.record(l.arrived...)
		l.arrived = l.arrived[:0]
	}
}

func (l *listener) note(frame []byte, now time.Duration) {
	for {
		p, rest, ok := nextPublication(frame)
		if !ok {
			return
		}
		l.count(p, now)
		frame = rest
	}
}

func (l *listener) count(p publication, now time.Duration) {
	last := l.last.Load()
	if p.number <= last {
		l.repeated.Add(1)
		return
	}
	l.missed.Add(p.number - last - 1)
	l.last.Store(p.number)
	l.received.Add(1)
	l.arrived = append(l.arrived, now-p.due)
	l.window.arrived(p.slot)
}
