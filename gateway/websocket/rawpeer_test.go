package websocket

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// rawPeer is a TCP client that need not keep to the protocol.
type rawPeer struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

const handshake = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

func (n *node) dialRaw() *rawPeer {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.server.Listener.Addr().String())
	must(n.t, err)
	n.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &rawPeer{conn, n.t, bufio.NewReader(conn)}
}

// dialUpgraded returns a peer that has completed the handshake and read the welcome.
func (n *node) dialUpgraded() *rawPeer {
	n.t.Helper()
	r := n.dialRaw()
	r.send(handshake)
	if got := r.expectStatus(); got != http.StatusSwitchingProtocols {
		n.t.Fatalf("status %d", got)
	}
	r.expectFrame(opText)
	return r
}

func (r *rawPeer) send(text string) {
	r.t.Helper()
	if _, err := io.WriteString(r, text); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rawPeer) expectStatus() int {
	r.t.Helper()
	response, err := http.ReadResponse(r.r, nil)
	must(r.t, err)
	return response.StatusCode
}

// readFrame reads one frame of the gateway.
func (r *rawPeer) readFrame() (first byte, payload []byte, err error) {
	var header [2]byte
	if _, err = io.ReadFull(r.r, header[:]); err != nil {
		return 0, nil, err
	}
	length := uint64(header[1])
	switch length {
	case 126:
		var more uint16
		err = binary.Read(r.r, binary.BigEndian, &more)
		length = uint64(more)
	case 127:
		err = binary.Read(r.r, binary.BigEndian, &length)
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(r.r, payload)
	return header[0], payload, err
}

// expectFrame reads up to the next frame with the given opcode, and returns its payload.
func (r *rawPeer) expectFrame(opcode byte) []byte {
	r.t.Helper()
	for {
		first, payload, err := r.readFrame()
		if err != nil {
			r.t.Fatalf("waiting for a frame with opcode %d: %v", opcode, err)
		}
		if first == final|opcode {
			return payload
		}
	}
}

func (r *rawPeer) expectCloseCode(want int) {
	r.t.Helper()
	payload := r.expectFrame(opClose)
	if len(payload) < 2 {
		r.t.Fatalf("close frame %q without a code", payload)
	}
	if got := int(binary.BigEndian.Uint16(payload)); got != want {
		r.t.Errorf("close code %d (%s), want %d", got, payload[2:], want)
	}
}

// expectEnd reads until the gateway ends the stream. A reset is an error.
func (r *rawPeer) expectEnd() {
	r.t.Helper()
	if _, err := io.Copy(io.Discard, r.r); err != nil {
		r.t.Errorf("the connection did not end in order: %v", err)
	}
}

// masked returns a client's frame with a key of zero.
func masked(first byte, payload string) string {
	frame := []byte{first}
	if len(payload) <= maxControl {
		frame = append(frame, 0x80|byte(len(payload)))
	} else {
		frame = append(frame, 0x80|126)
		frame = binary.BigEndian.AppendUint16(frame, uint16(len(payload)))
	}
	return string(frame) + "\x00\x00\x00\x00" + payload
}

// connect returns the two ends of a TCP connection.
func connect(t testing.TB) (server, client *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	must(t, err)
	accepted, err := listener.Accept()
	must(t, err)
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return accepted.(*net.TCPConn), dialed.(*net.TCPConn)
}
