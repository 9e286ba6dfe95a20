package main

import (
	"bytes"
	"sync/atomic"
	"time"
)

// benchListener is a session on one channel, and what it has got.
type benchListener struct {
	number  int
	client  *benchClient
	channel *benchChannel
	run     *loadRun

	received atomic.Uint64
	last     atomic.Uint64 // number of the last publication
	missed   atomic.Uint64
	repeated atomic.Uint64
	closed   atomic.Pointer[error] // nil: it is connected

	arrived []time.Duration // latencies of what came by one read
}

// listen reads until the connection ends.
func (l *benchListener) listen() {
	for {
		frame, err := l.client.read()
		if err != nil {
			l.closed.Store(&err)
			return
		}
		now := time.Since(benchEpoch)
		for l.note(frame, now); l.client.whole(); l.note(frame, now) {
			if frame, err = l.client.read(); err != nil {
				l.closed.Store(&err)
				return
			}
		}
		l.run.latency.record(l.number, l.arrived...)
		l.arrived = l.arrived[:0]
	}
}

func (l *benchListener) note(frame []byte, now time.Duration) {
	p, ok := parsePublication(frame)
	if !ok {
		return
	}
	last := l.last.Load()
	if p.number <= last {
		l.repeated.Add(1)
		return
	}
	l.missed.Add(p.number - last - 1)
	l.last.Store(p.number)
	l.received.Add(1)
	l.arrived = append(l.arrived, now-p.due)
	l.run.window.arrived(p.slot)
}

// publication is what a benchmark's message says of itself: three numbers of 16
// hexadecimal digits, behind a name that occurs nowhere else.
type publication struct {
	number uint64        // of the channel
	slot   uint64        // of the window; noSlot: none
	due    time.Duration // when it was to be sent, since benchEpoch
}

// benchEpoch is what times in publications count from.
var benchEpoch = time.Now()

const (
	publicationMark   = `"bench":"`
	publicationDigits = 3 * 16
	publicationAround = `{"bench":"","pad":""}`
	leastBenchPayload = publicationDigits + len(publicationAround)
	noSlot            = 1<<64 - 1
)

func parsePublication(frame []byte) (publication, bool) {
	at := bytes.Index(frame, []byte(publicationMark))
	if at < 0 || len(frame) < at+len(publicationMark)+publicationDigits {
		return publication{}, false
	}
	digits := frame[at+len(publicationMark):]
	return publication{number: parseHex(digits), slot: parseHex(digits[16:]), due: time.Duration(parseHex(digits[32:]))}, true
}

// put writes the digits that parsePublication reads.
func (p publication) put(digits []byte) {
	putHex(digits, p.number)
	putHex(digits[16:], p.slot)
	putHex(digits[32:], uint64(p.due))
}

const hexDigits = "0123456789abcdef"

func putHex(to []byte, n uint64) {
	for i := 15; i >= 0; i-- {
		to[i] = hexDigits[n&15]
		n >>= 4
	}
}

func parseHex(from []byte) (n uint64) {
	for _, c := range from[:16] {
		digit := c - '0'
		if c >= 'a' {
			digit = c - 'a' + 10
		}
		n = n<<4 | uint64(digit)
	}
	return n
}

var messagePrefix = []byte(`{"type":"message"`)

func isMessage(frame []byte) bool { return bytes.HasPrefix(frame, messagePrefix) }
