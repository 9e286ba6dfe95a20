package timeline

import (
	"time"

	"tidegate/broker"
)

// Entry is a message on its way to a channel's audience, and the frames that it has
// been encoded to.
type Entry struct {
	Message  broker.Message
	Received time.Time // when, of a message whose delivery is measured; else zero

	first encoded // what most entries have
	more  []encoded
	until int64 // for how long a tail keeps it, in Unix nanoseconds
}

type encoded struct {
	by    Encoder
	frame []byte
}

// Encoder says messages in one way. Two that are equal (==) say the same.
type Encoder interface {
	// EncodeMessage returns the frame of a message; nil: it does not say it.
	EncodeMessage(*broker.Message) ([]byte, error)
}

// Frame returns the message as by says it, encoded once for all who ask.
func (e *Entry) Frame(by Encoder) ([]byte, error) {
	if e.first.by == by {
		return e.first.frame, nil
	}
	for i := range e.more {
		if e.more[i].by == by {
			return e.more[i].frame, nil
		}
	}
	frame, err := by.EncodeMessage(&e.Message)
	if err != nil {
		return nil, err
	}
	if e.first.by == nil {
		e.first = encoded{by, frame}
	} else {
		e.more = append(e.more, encoded{by, frame})
	}
	return frame, nil
}

// weight is about how many bytes a kept message takes: itself, and the frame that
// one protocol makes of it.
func (e *Entry) weight() int { return 2*len(e.Message.Payload) + 512 }

func (e *Entry) offset() uint64 { return e.Message.Position.Offset }
