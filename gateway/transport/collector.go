package transport

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
)

// collector is a client that waits for one answer.
type collector struct {
	room   room          // that its answer takes of the node's; fixed at birth
	payer  *rates.Bucket // for it; fixed at birth
	ready  chan struct{} // closed when there is an answer
	looked chan struct{} // closed when all that is newer than the cursor has come
	over   chan struct{} // closed when the session has ended by itself

	// Guarded by mu.
	mu       sync.Mutex
	cursors  cursors
	answer   answer
	bytes    int
	tell     bool // there is something to tell even without a message
	settled  bool // looked is closed
	told     bool // ready is closed
	finished bool // nothing is added any more
	reason   gateway.Reason
	failed   error // there was no room; nil: there was
}

// room is what answers share: a *gateway.Budget.
type room interface {
	Hold(payer *rates.Bucket, bytes int) error
	LetGo(payer *rates.Bucket, bytes int)
}

var _ gateway.Conn = (*collector)(nil)

// answerBytes is how large an answer may be before more is left to the next.
const answerBytes = 256 << 10

// newCollector begins with what is known: a channel without history is one on
// which messages may have been missed since the last answer.
func newCollector(r room, payer *rates.Bucket, at cursors) *collector {
	c := &collector{
		room: r, payer: payer, cursors: at,
		ready: make(chan struct{}), looked: make(chan struct{}), over: make(chan struct{}),
		answer: answer{Messages: []json.RawMessage{}, Gaps: []string{}},
	}
	for i := range at.places {
		p := &at.places[i]
		c.tell = c.tell || !p.resumed
		if p.resumed && !p.hasPosition() {
			c.addGap(p.channel)
		}
	}
	return c
}

// Heard says that the peer is there: a request lasts for a short time.
func (c *collector) Heard() time.Time { return time.Now() }

func (c *collector) Write(frames [][]byte, _ time.Duration) ([][]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(frames) > 0 && !c.finished && c.bytes < answerBytes && c.failed == nil {
		c.add(parseNotice(frames[0]))
		frames = frames[1:]
	}
	if !c.told && (c.settled && c.hasNews() || c.bytes >= answerBytes || c.failed != nil) {
		c.told = true
		close(c.ready)
	}
	if len(frames) > 0 {
		return frames, gateway.Left
	}
	return nil, nil
}

func (c *collector) hasNews() bool { return c.tell || len(c.answer.Messages) > 0 }

func (c *collector) add(n notice) {
	if !c.cursors.note(n) {
		return
	}
	switch n.kind {
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
	close(c.over)
}

// finish takes no more and returns the answer; nil means that there is
// nothing to tell.
func (c *collector) finish() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ended := c.finished
	c.finished = true
	switch {
	case c.failed != nil:
		return nil, c.failed
	case c.settled && c.hasNews() || c.bytes >= answerBytes:
		c.answer.Cursor = string(c.cursors.append(nil))
		return json.Marshal(c.answer)
	case ended:
		return nil, errorOf(c.reason)
	case !c.settled:
		return nil, &gateway.Error{Code: gateway.Unavailable, Message: "the channels did not answer in time: try again"}
	}
	return nil, nil
}

// release gives back the room of the answer, which finish has returned.
func (c *collector) release() { c.room.LetGo(c.payer, c.bytes) }

// answer is what LongPoll answers.
type answer struct {
	Messages  []json.RawMessage `json:"messages"`
	Cursor    string            `json:"cursor"`
	Gaps      []string          `json:"gaps"`
	Recovered *bool             `json:"recovered,omitempty"` // nil: true, or there was no cursor
}

// errorOf returns what a client is told of a session's end before its answer;
// nil if it is to ask again.
func errorOf(reason gateway.Reason) error {
	switch {
	case reason.Is(gateway.NotAuthentic), reason.Is(gateway.TokenExpired):
		return &gateway.Error{Code: gateway.Unauthenticated, Message: reason.Text}
	case reason.Is(gateway.Policy), reason.Is(gateway.Disconnected):
		return &gateway.Error{Code: gateway.Forbidden, Message: reason.Text}
	case reason.Is(gateway.Draining), reason.Is(gateway.TimedOut), reason.Is(gateway.Left):
		return nil
	}
	return &gateway.Error{Code: gateway.Unavailable, Message: reason.Text}
}
