package transport

import (
	"errors"
	"testing"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
	"tidegate/gateway/native"
)

// narrow is a room of a fixed number of bytes.
type narrow struct{ most, held int }

var errNarrow = errors.New("no room")

func (r *narrow) Hold(_ *rates.Bucket, n int) error {
	if r.held+n > r.most {
		return errNarrow
	}
	r.held += n
	return nil
}

func (r *narrow) LetGo(_ *rates.Bucket, n int) { r.held -= n }

// An answer takes room while it grows, not only when it is complete.
func TestCollector_HoldsOfTheNodesRoomWhatItHas(t *testing.T) {
	at, err := parseCursors([]string{"c"}, "")
	must(t, err)
	protocol := notices{native.Protocol{}, nativeObjects}
	frame, err := protocol.Encode(gateway.Message{Message: &broker.Message{Channel: "c", Payload: make([]byte, 1000), Kind: broker.Binary}})
	must(t, err)
	bytes := len(parseNotice(frame.Data).body)
	room := &narrow{most: 3*bytes - 1}
	c := newCollector(room, nil, at)
	for taken := range 2 {
		if _, err := c.Write([][]byte{frame.Data}, 0); err != nil || room.held != (taken+1)*bytes {
			t.Fatalf("%d bytes are held for %d messages of %d: %v", room.held, taken+1, bytes, err)
		}
	}
	_, _ = c.Write([][]byte{frame.Data}, 0)
	select {
	case <-c.ready:
	default:
		t.Error("nobody is told that there is no room")
	}
	if _, err := c.finish(); !errors.Is(err, errNarrow) {
		t.Errorf("the answer: %v", err)
	}
	if c.release(); room.held != 0 {
		t.Errorf("%d bytes are not given back", room.held)
	}
}
