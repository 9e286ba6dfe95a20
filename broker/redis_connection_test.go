package broker

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker/simredis"
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
	c := &connection{link: &link{board: &board{receiver: r}}, conn: here, r: newWireReader(here)}
	if err := c.receive(); err == nil {
		t.Fatal("a closed connection receives")
	}
	if r.n == 0 {
		t.Error("what was received before is left to be written")
	}
}

// However large they are, the messages that are held until Redis has said what it is are bounded.
func TestConnection_HoldsBackNoMoreThanItMay(t *testing.T) {
	c := &connection{link: newLink(nil, nil, "", nil)}
	m := Message{Payload: make([]byte, 1<<20)}
	for n := range mostHeld >> 20 {
		if err := c.deliver(nil, m, true); (err != nil) != (n == mostHeld>>20-1) {
			t.Fatalf("after %d MB: %v", n+1, err)
		}
	}
	c.held, c.heldBytes = nil, 0
	for n := range 100_000 {
		if err := c.deliver(nil, Message{}, true); err != nil {
			t.Fatalf("after %d without a payload: %v", n+1, err)
		}
	}
}

// behind is a Receiver that takes long for what has arrived.
type behind struct {
	states
	received int
	gaps     []string
}

func (r *behind) Receive(Message) { r.received++ }
func (r *behind) Rest()           { time.Sleep(restTime) }

const restTime = 1003 * time.Microsecond // a prime number, so that it seldom ends at a beat

func (r *behind) Gap(channels []string, _ error) { r.gaps = append(r.gaps, channels...) }

// Redis has answered, but the answer is behind messages that the node has yet to read.
func TestConnection_OfANodeThatIsBehindIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := simredis.New(1)
		defer servers.Close()
		server := servers.Start("redis:6379")
		b, err := NewRedis(RedisConfig{URL: "redis://redis", Dial: servers.NewWay(1, 0).Dial, Connections: 1})
		if err != nil {
			t.Fatal(err)
		}
		r := &behind{states: states{heard: make(chan error, 10)}}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { _ = b.Run(ctx, r) })
		if err := cmp.Or(<-r.heard, b.Subscribe(ctx, "a")); err != nil {
			t.Fatal(err)
		}
		const messages = 20_000
		for range messages {
			server.Do("PUBLISH", "tidegate:a", "x")
		}
		time.Sleep(messages*restTime + time.Second)
		synctest.Wait()
		if r.received != messages || len(r.gaps) > 0 {
			t.Errorf("%d messages of %d arrived, and gaps were told of %q", r.received, messages, r.gaps)
		}
	})
}

// mute is a Redis that is a master, and says nothing from some time on.
type mute struct {
	topology
	silent atomic.Bool
	served sync.WaitGroup
}

func (m *mute) dial(context.Context, string) (net.Conn, error) {
	here, there := net.Pipe()
	m.served.Go(func() {
		for lines := bufio.NewScanner(there); lines.Scan(); {
			switch {
			case m.silent.Load():
			case lines.Text() == "HELLO":
				_, _ = io.WriteString(there, "%1\r\n+role\r\n+master\r\n")
			case lines.Text() == "INFO":
				_, _ = io.WriteString(there, "$-1\r\n")
			}
		}
	})
	return here, nil
}

// states is a Receiver that is told of the link only.
type states struct {
	Receiver
	heard chan error
}

func (s *states) Rest()          {}
func (s *states) Link(err error) { s.heard <- err }

func TestConnection_SilenceIsNoticedWithinASecond(t *testing.T) {
	for phase := range 10 { // of what is asked regularly
		synctest.Test(t, func(t *testing.T) {
			b, err := NewRedis(RedisConfig{URL: "redis://localhost", Connections: 1})
			if err != nil {
				t.Fatal(err)
			}
			server, told := &mute{}, &states{heard: make(chan error, 10)}
			b.servers.topology, b.board.receiver = server, told
			l := newLink(b.servers, b.board, "localhost", nil)
			newFollower(b.servers, b.board).carry(b.partitions[0], l)
			ctx, cancel := context.WithCancel(t.Context())
			defer server.served.Wait()
			defer cancel()
			var running sync.WaitGroup
			defer running.Wait()
			running.Go(func() { l.run(ctx) })
			if err := <-told.heard; err != nil {
				t.Fatal(err)
			}
			time.Sleep(10*time.Second + time.Duration(phase)*beat/10)
			server.silent.Store(true)
			began := time.Now()
			err = <-told.heard
			if took := time.Since(began); err == nil || took > time.Second {
				t.Errorf("told %v after %v", err, took)
			}
			cancel()
		})
	}
}
