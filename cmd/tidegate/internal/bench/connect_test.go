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
	b := &idleLoad{connectLoad: connectLoad{count: 2, atOnce: 1}, duration: time.Millisecond}
	if result, err := b.measure(t.Context(), startPingEach(t)); err != nil || result.Closed != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestLoad_AnswersPingsWhileOthersConnect: as above.
func TestLoad_AnswersPingsWhileOthersConnect(t *testing.T) {
	at := startPingEach(t)
	run := &loadRun{load: &load{channels: 1, members: 2, publishers: 1}, window: newWindow(1, 2), latency: newLatencyRecorder(), site: at, fail: func(error) {}}
	defer run.end()
	if err := run.connect(t.Context()); err != nil {
		t.Error(err)
	}
}

// startPingEach returns where pingEach serves until the test ends.
func startPingEach(t *testing.T) *site {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { listener.Close() })
	serving.Go(func() { pingEach(listener) })
	gateway := &url.URL{Scheme: "ws", Host: listener.Addr().String(), Path: "/ws"}
	return &site{
		adapter: native, urls: []*url.URL{gateway}, tokenOf: func(int) (string, error) { return "", nil },
		watch: meter{pids: []int{os.Getpid()}}, progress: &progress{},
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
