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

// TestIdle_AnswersPingsWhileOthersConnect checks that sessions answer pings while others are
// connecting: a gateway closes sessions that do not, and connecting all of many sessions takes
// longer than it waits for a pong.
func TestIdle_AnswersPingsWhileOthersConnect(t *testing.T) {
	b := &idleLoad{connectLoad: connectLoad{count: 2, atOnce: 1}, duration: time.Millisecond}
	if result, err := b.measure(t.Context(), startPingEach(t)); err != nil || result.Closed != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestLoad_AnswersPingsWhileOthersConnect checks the same for a load.
func TestLoad_AnswersPingsWhileOthersConnect(t *testing.T) {
	at := startPingEach(t)
	run := &loadRun{load: &load{channels: 1, members: 2, traffic: traffic{publishers: 1}}, window: newWindow(1, 2), latency: newLatencyRecorder(), site: at, fail: func(error) {}}
	defer run.end()
	if err := run.connect(t.Context()); err != nil {
		t.Error(err)
	}
}

// startPingEach runs pingEach until the test ends, and returns a site for it.
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
		watch: meter{pids: []int{os.Getpid()}},
	}
}

// pingEach is a gateway that accepts a session only after the previous one has answered a
// ping.
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
		_, _ = conn.Write([]byte{0x80 | pingFrame, 0}) // if it fails, no pong follows
		if head, err := s.reader.Peek(1); err != nil || head[0] != 0x80|pongFrame {
			return
		}
	}
}
