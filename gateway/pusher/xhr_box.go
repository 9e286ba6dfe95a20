package pusher

import (
	"sync"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
	"tidegate/gateway/transport"
)

// box is a connection that is made of requests: what is to be written waits in it,
// bounded, until the client asks for it, by a request to this node or another.
type box struct {
	// Fixed at birth.
	room   room // that what it holds takes of the node's
	payer  *rates.Bucket
	rouse  func() // has somebody pass on: called with mu held, must not block
	expire func() // called when the client does not ask for more in time

	// Guarded by mu.
	mu      sync.Mutex
	heard   time.Time
	waiting []byte
	held    int           // bytes of frames that wait, or are being passed on
	asking  reader        // that gets what waits next; zero: there is none
	last    string        // ticket of the last one that asked
	passing bool          // somebody passes on: one at a time, so that the order holds
	emptier chan struct{} // closed when there may be room; nil: nobody waits for it
	idle    *time.Timer   // runs while nobody asks and nothing is passed on
	closing bool          // nothing is added any more
	stopped bool          // it takes nothing more, and idle does not run
}

// room is what boxes share for what they hold: a *gateway.Budget.
type room interface {
	Hold(payer *rates.Bucket, bytes int) error
	LetGo(payer *rates.Bucket, bytes int)
}

// reader is a request of a client's for what there is to say.
type reader struct{ node, ticket string }

var _ gateway.Conn = (*box)(nil)

const (
	boxBytes    = 32 << 10         // what a box takes for a client that does not ask, or one frame
	askPatience = 15 * time.Second // for a client to ask for more
)

func newBox(r room, payer *rates.Bucket, rouse, expire func()) *box {
	b := &box{room: r, payer: payer, rouse: rouse, expire: expire, heard: time.Now()}
	b.idle = time.AfterFunc(askPatience, expire)
	return b
}

func (b *box) Heard() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.heard
}

// Write takes whole frames.
func (b *box) Write(frames [][]byte, wait time.Duration) ([][]byte, error) {
	return transport.WriteWithin(wait, frames, b.take)
}

// take adds frames until there is enough. room is closed when there may be more of it.
func (b *box) take(frames [][]byte) (rest [][]byte, room <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return frames, nil, gateway.Left
	}
	for len(frames) > 0 && b.fits(len(frames[0])) && b.room.Hold(b.payer, len(frames[0])) == nil {
		b.waiting = append(b.waiting, frames[0]...)
		b.held += len(frames[0])
		frames = frames[1:]
	}
	if len(frames) > 0 && b.emptier == nil {
		b.emptier = make(chan struct{})
	}
	b.passOn()
	return frames, b.emptier, nil
}

// fits reports whether the box takes a frame of so many bytes. It is called with b.mu held.
func (b *box) fits(n int) bool {
	return !b.stopped && (b.held == 0 || b.held+n <= boxBytes)
}

// Close says why, as the last thing that is passed on.
func (b *box) Close(reason gateway.Reason, _ []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return
	}
	b.closing = true
	b.waiting = append(b.waiting, lineClose(reason)...)
	b.announceRoom()
	b.passOn()
}

// announceRoom is called with b.mu held, as are the next ones.
func (b *box) announceRoom() {
	if b.emptier != nil {
		close(b.emptier)
		b.emptier = nil
	}
}

// letGo gives back the room of so many bytes, if it holds them still.
func (b *box) letGo(n int) {
	n = min(n, b.held)
	b.held -= n
	b.room.LetGo(b.payer, n)
}

// passOn has somebody pass on what waits, to who has asked for it.
func (b *box) passOn() {
	if !b.passing && b.asking != (reader{}) && len(b.waiting) > 0 {
		b.passing = true
		b.idle.Stop()
		b.rouse()
	}
}

// ask notes who gets what waits next, in the place of whoever has asked before. alive
// says that the client has just shown that it is there.
func (b *box) ask(r reader, alive bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle.Stop()
	if alive {
		b.heard = time.Now()
	}
	b.asking, b.last = r, r.ticket
	b.passOn()
}

// next returns what waits, and for whom. last says that nothing follows. Without one
// of both it reports false: then whoever passes on is done.
func (b *box) next() (to reader, chunk []byte, last, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asking == (reader{}) || len(b.waiting) == 0 {
		b.passing = false
		if b.asking == (reader{}) && !b.stopped {
			b.idle.Reset(askPatience)
		}
		return reader{}, nil, false, false
	}
	to, chunk = b.asking, b.waiting
	b.asking, b.waiting = reader{}, nil
	return to, chunk, b.closing, true
}

// passed says that so many bytes have been passed on.
func (b *box) passed(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letGo(n)
	b.announceRoom()
}

// putBack makes what nobody has taken first again.
func (b *box) putBack(chunk []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(chunk, b.waiting...)
}

// isLast reports whether nobody has asked after the one with this ticket.
func (b *box) isLast(ticket string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last == ticket
}

// stop ends the box for good: its timer, and what it holds of the node's room.
func (b *box) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	b.idle.Stop()
	b.letGo(b.held)
}

// empty drops what waits for a client that does not ask.
func (b *box) empty() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.passing {
		b.waiting = nil
		b.letGo(b.held)
		b.announceRoom()
	}
}
