package gateway

import (
	"tidegate/broker/lock"
	"tidegate/gateway/internal/rates"
)

// inLine is a queue of frames to be received. While it is not empty, one goroutine processes
// it. The zero value is ready for use. All methods are safe for concurrent use.
type inLine struct {
	mu        lock.Mutex[lock.InLine]
	frames    []lined
	bytes     int
	receiving bool
}

// lined is a queued frame. Until it has been received, payer pays for its bytes.
type lined struct {
	Frame
	payer *rates.Bucket
}

const mostInLine = 256 // frames

// put adds a frame to the queue, which may hold most bytes. If first is true, no goroutine
// processes the queue yet, and the caller must start one.
func (l *inLine) put(f lined, most int) (first bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.frames) >= mostInLine || l.bytes+len(f.Data) > most {
		return false, failf(RateLimited, "the session has too much to do already: send it again a little later")
	}
	first, l.receiving = !l.receiving, true
	l.frames = append(l.frames, f)
	l.bytes += len(f.Data)
	return first, nil
}

// next removes the oldest frame. If there is none, the goroutine that calls it must stop.
func (l *inLine) next() (f lined, waits bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.frames) == 0 {
		l.frames, l.receiving = nil, false
		return lined{}, false
	}
	f, l.frames = l.frames[0], l.frames[1:]
	l.bytes -= len(f.Data)
	return f, true
}
