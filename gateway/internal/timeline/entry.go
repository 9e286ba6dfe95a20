package timeline

import (
	"time"

	"tidegate/broker"
)

// Entry is a message on its way to a channel's audience, with the frames it has been
// encoded into so far. Its methods must not be called concurrently.
type Entry struct {
	Message  broker.Message
	Received time.Time // when the broker delivered the message; zero if its delivery is not measured

	frames []encoded
	first  [1]encoded // the memory of frames: most entries need only one
	kept   int        // bytes of frames
	until  int64      // when the tail drops the entry, in Unix nanoseconds
}

// encoded is a frame. For a difference, it identifies the previous message by its position, not by
// a pointer, which would keep a chain of entries alive.
type encoded struct {
	by     Encoder
	before broker.Position // zero for the frame of the whole message
	frame  []byte
}

// find returns the frame that by has made.
func (e *Entry) find(by Encoder, before broker.Position) (frame []byte, found bool) {
	for i := range e.frames {
		if f := &e.frames[i]; f.by == by && f.before == before {
			return f.frame, true
		}
	}
	return nil, false
}

// keep keeps a frame, unless there is no room for it.
func (e *Entry) keep(f encoded) {
	kept := e.kept + len(f.frame) + keptOverhead
	if kept > e.room() {
		return
	}
	if e.kept = kept; e.frames == nil {
		e.frames = e.first[:0]
	}
	e.frames = append(e.frames, f)
}

// room returns how many bytes the entry may keep besides its message: enough for a frame in Base64.
func (e *Entry) room() int { return e.Message.Size()*4/3 + messageOverhead - entryBytes }

// Encoder encodes messages for one protocol or dialect. Two Encoders that compare equal
// (==) must produce the same frames.
type Encoder interface {
	// Encode returns the frame of m for a client that has before, or nil if m is not to be sent.
	// If before is nil, the frame has the whole message.
	Encode(m, before *broker.Message) ([]byte, error)
}

// Frame returns the frame that by makes of the message for a client that has before. Each Encoder
// runs once, and later calls return the same frame, unless before has no position or there is no
// room to keep the frame.
func (e *Entry) Frame(by Encoder, before *broker.Message) ([]byte, error) {
	var at broker.Position
	if before != nil {
		if at = before.Position; at.IsZero() {
			return by.Encode(&e.Message, before)
		}
	}
	if frame, found := e.find(by, at); found {
		return frame, nil
	}
	frame, err := by.Encode(&e.Message, before)
	if err == nil {
		e.keep(encoded{by, at, frame})
	}
	return frame, err
}

// weight estimates the most memory that a buffered entry takes, in bytes.
func (e *Entry) weight() int { return entryBytes + e.Message.Size() + e.room() }

const (
	messageOverhead = 1 << 10
	entryBytes      = 512 // without what it refers to
	keptOverhead    = 32  // of each frame
)

func (e *Entry) offset() uint64 { return e.Message.Position.Offset }
