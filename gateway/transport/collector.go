package transport

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"tidegate/broker/jsontext"
	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
)

// collector is the connection of a long-poll request. It collects frames until there is
// something to answer.
type collector struct {
	room     rates.Memory  // the memory that the answer is charged to; immutable
	payer    *rates.Bucket // who pays for it; immutable
	ready    chan struct{} // closed when there is an answer, or when the session ends before the request
	looked   chan struct{} // closed when everything newer than the cursor has arrived
	announce func()        // closes ready, unless it is closed; immutable

	// Guarded by mu.
	mu       sync.Mutex
	cursors  cursors
	answer   answer
	bytes    int
	tell     bool // an answer is due even without a message
	settled  bool // looked is closed
	finished bool // no more frames are added
	reason   gateway.Reason
	failed   error // the error to answer with, or nil
}

var _ gateway.Conn = (*collector)(nil)

// answerBytes is the size at which an answer is full. Later messages go to the next one.
const answerBytes = 256 << 10

// newCollector returns a collector for a client at the given cursors. A resumed channel
// without history is a gap from the start: messages may have been missed since the last
// answer.
func newCollector(r rates.Memory, payer *rates.Bucket, at cursors) *collector {
	c := &collector{
		room: r, payer: payer, cursors: at,
		ready: make(chan struct{}), looked: make(chan struct{}),
		answer: answer{Messages: []json.RawMessage{}, Gaps: []string{}},
	}
	c.announce = sync.OnceFunc(func() { close(c.ready) })
	for i := range at.places {
		p := &at.places[i]
		c.tell = c.tell || !p.resumed
		if p.resumed && !p.hasPosition() {
			c.addGap(p.channel)
		}
	}
	return c
}

// Heard returns the current time: a request is so short that its client counts as alive.
func (c *collector) Heard() time.Time { return time.Now() }

func (c *collector) Write(frames [][]byte, _ time.Duration) ([][]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(frames) > 0 && !c.finished && !c.isComplete() && c.failed == nil {
		c.add(parseNotice(frames[0]))
		frames = frames[1:]
	}
	if c.settled && c.hasNews() || c.isComplete() || c.failed != nil {
		c.announce()
	}
	if len(frames) > 0 {
		return frames, gateway.Left
	}
	return nil, nil
}

func (c *collector) hasNews() bool { return c.tell || len(c.answer.Messages) > 0 }

func (c *collector) isFull() bool { return c.bytes >= answerBytes }

// isComplete reports whether the answer is full and has a position on each channel, so that
// the next one can have all that this one leaves out.
func (c *collector) isComplete() bool { return c.isFull() && c.cursors.complete() }

func (c *collector) add(n notice) {
	if c.isFull() && n.kind != joined && n.kind != failed || !c.cursors.note(n) {
		return
	}
	switch n.kind {
	case failed:
		c.failed = n.failure()
	case message:
		if c.failed = c.room.Hold(c.payer, len(n.body)); c.failed != nil {
			return
		}
		c.answer.Messages = append(c.answer.Messages, bytes.Clone(n.body))
		c.bytes += len(n.body)
	case gap:
		c.addGap(string(n.channel))
		c.tell = true
	case lost:
		c.answer.Recovered = new(bool)
		c.tell = true
	case caughtUp:
		c.settled = true
		close(c.looked)
	}
}

func (c *collector) addGap(channel string) {
	if !slices.Contains(c.answer.Gaps, channel) {
		c.answer.Gaps = append(c.answer.Gaps, channel)
	}
}

func (c *collector) Close(reason gateway.Reason, _ []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return
	}
	c.finished, c.reason = true, reason
	c.announce()
}

// finish makes the collector refuse more frames and returns the answer, or nil if there is
// nothing to answer.
func (c *collector) finish() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ended := c.finished
	c.finished = true
	switch {
	case c.failed != nil:
		return nil, c.failed
	case c.settled && c.hasNews() || c.isComplete():
		c.answer.Cursor = string(c.cursors.append(nil))
		return jsontext.Encode(c.answer)
	case ended && asksAgain(c.reason):
		return nil, nil
	case ended:
		return nil, c.reason.AsError()
	case !c.settled:
		return nil, fail(gateway.Unavailable, "the channels did not answer in time: try again")
	}
	return nil, nil
}

// release returns the room of the answer. Call it when the answer from finish is no longer
// used.
func (c *collector) release() { c.room.LetGo(c.payer, c.bytes) }

// answer is the body of a long-poll answer.
type answer struct {
	Messages  []json.RawMessage `json:"messages"`
	Cursor    string            `json:"cursor"`
	Gaps      []string          `json:"gaps"`
	Recovered *bool             `json:"recovered,omitempty"` // nil if true, or without a cursor
}

// asksAgain reports whether a client whose session ended for this reason is to ask again.
func asksAgain(r gateway.Reason) bool {
	return r.Is(gateway.Draining) || r.Is(gateway.TimedOut) || r.Is(gateway.Left)
}
