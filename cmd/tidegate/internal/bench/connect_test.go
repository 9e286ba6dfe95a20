package bench

import (
	"bufio"
	"net"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"
)

// TestIdle_AnswersPingsWhileOthersConnect: a gateway ends sessions that do not, and many
// take longer to connect than it waits.
func TestIdle_AnswersPingsWhileOthersConnect(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer listener.Close()
	serving.Go(func() { pingEach(listener) })

	b := &idleLoad{connectLoad: connectLoad{count: 2, atOnce: 1}, duration: time.Millisecond}
	gateway := &url.URL{Scheme: "ws", Host: listener.Addr().String(), Path: "/ws"}
	result, err := b.measure(t.Context(), &site{adapter: native,
		urls: []*url.URL{gateway}, tokenOf: func(int) (string, error) { return "", nil },
		watch: meter{pids: []int{os.Getpid()}}, progress: &progress{},
	})
	if err != nil || result.Closed != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

// pingEach is a gateway that takes a session when the one before has answered a ping.
func pingEach(listener net.Listener) {
	f := &floor{channels: map[string][]*floorSession{}}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		s := &floorSession{floor: f, conn: conn, reader: bufio.NewReader(conn)}
		if s.shakeHands() != nil || s.next() != nil {
			return
		}
		_, _ = conn.Write([]byte{0x80 | pingFrame, 0}) // who is gone does not answer
		if head, err := s.reader.Peek(1); err != nil || head[0] != 0x80|pongFrame {
			return
		}
	}
}
