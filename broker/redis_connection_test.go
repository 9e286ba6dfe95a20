package broker

import (
	"net"
	"testing"
)

// rests is a Receiver that counts.
type rests struct {
	Receiver
	n int
}

func (r *rests) Rest() { r.n++ }

// A connection that is closed is not read from any more, which would say so.
func TestConnection_RestsWhenItIsClosed(t *testing.T) {
	here, there := net.Pipe()
	there.Close()
	r := &rests{}
	c := &connection{link: &link{receiver: r}, conn: here, r: newWireReader(here)}
	if err := c.receive(); err == nil {
		t.Fatal("a closed connection receives")
	}
	if r.n == 0 {
		t.Error("what was received before is left to be written")
	}
}
