package pusher

import (
	"sync"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
	"tidegate/gateway/transport"
)

// box is the connection of a session whose client polls. It buffers a bounded number of
// bytes until the client asks for them with a request to this node or another one.
type box struct {
	// Immutable.
	room   rates.Memory // the memory that buffered frames are charged to
	payer  *rates.Bucket
	rouse  func() // starts a goroutine that passes on; called with mu held, must not block
	expire func() // called when the client does not ask for more in time

	// Guarded by mu.
	mu      sync.Mutex
	heard   time.Time
	waiting []byte
	held    int           // bytes of frames that wait or are being passed on
	asking  reader        // the request that receives what waits; zero if there is none
	last    string        // ticket of the last request that asked
	passing bool          // a goroutine passes on; only one at a time, to keep the order
	emptier chan struct{} // closed when there may be room; nil if nobody waits for it
	idle    *time.Timer   // runs while no request asks and nothing is passed on
	closing bool          // no more frames are added
	stopped bool          // no more frames are taken, and idle must not run
}

// reader is a client's request for more lines, and the node that has it.
type reader struct{ node, ticket string }

var _ gateway.Conn = (*box)(nil)

const (
	boxBytes    = 32 << 10         // how much a box buffers; a single frame may be larger
	askPatience = 15 * time.Second // how long a client may take to ask for more
)

func newBox(r rates.Memory, payer *rates.Bucket, rouse, expire func()) *box {
	b := &box{room: r, payer: payer, rouse: rouse, expire: expire, heard: time.Now()}
	b.idle = time.AfterFunc(askPatience, expire)
	return b
}

func (b *box) Heard() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.heard
}

// Write buffers frames, never parts of one. If the box is full, it waits for room, at most
// for wait. It returns the frames that it has not taken.
func (b *box) Write(frames [][]byte, wait time.Duration) ([][]byte, error) {
	return transport.WriteWithin(wait, frames, b.take)
}

// take adds frames until the box is full and returns the rest. room is closed when take may
// be called again.
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

// fits reports whether the box has room for a frame of n bytes. The caller must hold b.mu.
func (b *box) fits(n int) bool {
	return !b.stopped && (b.held == 0 || b.held+n <= boxBytes)
}

// Close adds a last line with the reason, after which nothing is passed on.
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

// announceRoom tells Write that there may be room. The caller must hold b.mu, as for letGo
// and passOn.
func (b *box) announceRoom() {
	if b.emptier != nil {
		close(b.emptier)
		b.emptier = nil
	}
}

// letGo returns the room of n bytes, or of all that the box still holds if that is less.
func (b *box) letGo(n int) {
	n = min(n, b.held)
	b.held -= n
	b.room.LetGo(b.payer, n)
}

// passOn starts passing on if bytes wait and a request asks for them, unless that has begun
// already or the box is stopped.
func (b *box) passOn() {
	if !b.passing && !b.stopped && b.asking != (reader{}) && len(b.waiting) > 0 {
		b.passing = true
		b.idle.Stop()
		b.rouse()
	}
}

// ask makes r the request that receives what waits, and replaces an earlier one.
func (b *box) ask(r reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle.Stop()
	b.heard = time.Now()
	b.asking, b.last = r, r.ticket
	b.passOn()
}

// offer makes r the request that receives what waits, unless a later one asks. Only the
// goroutine that passes on may call it.
func (b *box) offer(r reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asking == (reader{}) {
		b.asking = r
	}
}

// next takes what waits and returns it with the request that receives it. last is true if
// nothing follows. If nothing waits or no request asks, more is false and the goroutine that
// passes on must return.
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

// passed records that n bytes have been passed on.
func (b *box) passed(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letGo(n)
	b.announceRoom()
}

// putBack puts a chunk that no request has taken back to the front.
func (b *box) putBack(chunk []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(chunk, b.waiting...)
}

// isLast reports whether the request with this ticket was the last one that asked.
func (b *box) isLast(ticket string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last == ticket
}

// stop ends the box permanently: it stops the timer and returns the room.
func (b *box) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	b.idle.Stop()
	b.letGo(b.held)
}

// empty drops what waits, unless it is being passed on.
func (b *box) empty() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.passing {
		b.waiting = nil
		b.letGo(b.held)
		b.announceRoom()
	}
}
