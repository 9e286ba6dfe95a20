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

// engine takes over the connections of accepted requests.
type engine interface {
	// take upgrades a request that has been checked, and attaches the connection to the
	// session. On an error there is no connection, and the caller still owns the session.
	take(w http.ResponseWriter, r *http.Request, session *gateway.Session, agreed agreement) error

	// hangUp closes all connections, without a close frame.
	hangUp()

	// close frees the engine. It is called when there are no connections any more, and may be
	// called again.
	close()
}

// shared is the state that all connections share, so that an idle connection needs little
// memory.
type shared struct {
	wall       *wall.Wall
	limit      int64 // of a message, in bytes on the wire; -1 means no limit
	deflate    *Deflate
	scratch    scratch // for writing
	unfinished unfinished
	pace       pace
	began      time.Time
	life       context.Context // canceled by Wait
	end        context.CancelFunc
	serving    sync.WaitGroup // counts connections

	most int          // number of connections above which closing ones are hurried; 0: no limit
	open atomic.Int64 // number of connections
}

// enter and leave count connections.
func (s *shared) enter() {
	s.serving.Add(1)
	s.open.Add(1)
}

func (s *shared) leave() {
	s.open.Add(-1)
	s.serving.Done()
}

// excess returns by how many the connections exceed most. The number of sessions is limited,
// so the excess is connections that linger after their session has ended or was refused.
func (s *shared) excess() int {
	if s.most == 0 {
		return 0
	}
	return int(s.open.Load()) - s.most
}

// fewLinger is how many connections may linger in any case, so that a peer learns why it was
// refused.
const fewLinger = 16

// inflate inflates packed into a buffer. The buffer may be non-nil even if there is an
// error; the caller must put it back.
func (s *shared) inflate(payer *rates.Bucket, packed []byte) (*buffer, error) {
	b, err := s.unfinished.get(payer)
	if err != nil {
		return nil, err
	}
	return b, s.unfinished.fill(b, func(buf []byte) ([]byte, error) { return s.deflate.inflate(buf, packed, s.limit) })
}
