package broker

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
			newFollower(b.servers, b.board).carry(b.partitions[0], l, nil)
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
