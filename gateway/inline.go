package gateway

import (
	"tidegate/broker/lock"
	"tidegate/gateway/internal/rates"
)

// inLine are frames that wait to be received, the oldest first. While there are any, one
// goroutine receives them. The zero value is ready; all methods may be called concurrently.
type inLine struct {
	mu        lock.Mutex[lock.InLine]
	frames    []lined
	bytes     int
	receiving bool
}

// lined is a frame in line. Until it is received, it takes of the node's room for what
// clients have sent.
type lined struct {
	Frame
	payer *rates.Bucket
}

const mostInLine = 256 // frames

// put adds a frame to the line, which may have most bytes. first says that nobody receives
// them yet: the caller has somebody do so.
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

// next takes the oldest frame. Where there is none, nobody receives them any more.
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
