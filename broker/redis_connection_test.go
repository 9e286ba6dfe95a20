package broker

import (
	"testing"

	"github.com/redis/go-redis/v9"
)

// rests is a Receiver that counts.
type rests struct {
	Receiver
	n int
}

func (r *rests) Rest() { r.n++ }

// A connection that is closed is not read from any more, which would say so.
func TestConnection_RestsWhenItIsClosed(t *testing.T) {
	client := redis.NewClient(&redis.Options{})
	defer client.Close()
	r := &rests{}
	c := &connection{receiver: r, pubsub: client.Subscribe(t.Context())}
	c.pubsub.Close()
	if err := c.receive(t.Context()); err == nil {
		t.Fatal("a closed connection receives")
	}
	if r.n == 0 {
		t.Error("what was received before is left to be written")
	}
}
