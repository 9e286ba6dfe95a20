package websocket

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
	"tidegate/gateway/internal/wall"
)

// engine takes connections over.
type engine interface {
	// take upgrades a request that is good, and gives the session its connection.
	// An error says that there is no connection; the session is the caller's still.
	take(w http.ResponseWriter, r *http.Request, session *gateway.Session, agreed agreement) error

	// hangUp closes the connections that there are, without a farewell.
	hangUp()

	// close is called when there is no connection any more.
	close()
}

// shared is what connections share, so that those with nothing to do own little.
type shared struct {
	wall       *wall.Wall
	limit      int64 // of a message's bytes on the wire; -1: none
	deflate    *Deflate
	scratch    scratch // to write
	unfinished unfinished
	pace       pace
	began      time.Time
	life       context.Context // ends with Wait
	end        context.CancelFunc
	serving    sync.WaitGroup // of connections

	most int          // connections that there may be before their ends are hurried; 0: any number
	open atomic.Int64 // connections
}

// enter and leave count a connection.
func (s *shared) enter() {
	s.serving.Add(1)
	s.open.Add(1)
}

func (s *shared) leave() {
	s.open.Add(-1)
	s.serving.Done()
}

// excess returns how many connections there are beyond what there may be. Sessions are
// bounded: it is those that linger whose sessions have ended, or were refused.
func (s *shared) excess() int {
	if s.most == 0 {
		return 0
	}
	return int(s.open.Load()) - s.most
}

// fewLinger may do so in any case, so that a peer hears why it is refused.
const fewLinger = 16

// inflate returns a buffer with the message that was compressed. On an error, too,
// there may be one.
func (s *shared) inflate(payer *rates.Bucket, packed []byte) (*buffer, error) {
	b, err := s.unfinished.get(payer)
	if err != nil {
		return nil, err
	}
	return b, s.unfinished.fill(b, func(buf []byte) ([]byte, error) { return s.deflate.inflate(buf, packed, s.limit) })
}
