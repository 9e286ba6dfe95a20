package bench

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
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
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		reader := bufio.NewReader(conn)
		if _, err := http.ReadRequest(reader); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		_, _ = conn.Write(serverFrame([]byte(`{"type":"welcome"}`)))
		head, err := reader.Peek(2)
		if err != nil {
			return
		}
		_, _ = reader.Discard(2 + 4 + int(head[1]&0x7f)) // the subscribe
		_, _ = conn.Write(serverFrame([]byte(`{"type":"subscribed","id":1}`)))
		_, _ = conn.Write([]byte{0x80 | pingFrame, 0}) // if it fails, no pong follows
		if head, err := reader.Peek(1); err != nil || head[0] != 0x80|pongFrame {
			return
		}
	}
}

// serverFrame returns an unmasked text frame, as a server sends it. The text must be shorter
// than 64 KiB.
func serverFrame(text []byte) []byte {
	const final = 0x80
	frame := []byte{final | textFrame}
	if n := len(text); n <= 125 {
		frame = append(frame, byte(n))
	} else {
		frame = binary.BigEndian.AppendUint16(append(frame, 126), uint16(n))
	}
	return append(frame, text...)
}
