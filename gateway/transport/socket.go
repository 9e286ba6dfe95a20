package transport

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socket is the outlet of plain TCP: each try is one write(2).
type socket struct {
	conn    *net.TCPConn
	control syscall.RawConn
	write   func(fd uintptr) // writes pending; made once, for a try to allocate nothing

	// Of the try that runs.
	pending []byte
	n       int
	err     error
}

// unsentBytes is how much the kernel takes for a peer that does not read. Without
// a bound it takes megabytes, whatever bounds there are before it.
const unsentBytes = 16 << 10

func newSocket(conn *net.TCPConn) (*socket, error) {
	control, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, control: control}
	s.write = s.writeOnce
	return s, control.Control(boundUnsent)
}

// boundUnsent is in vain only on a socket that is broken anyway.
func boundUnsent(fd uintptr) {
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
}

// try goes by Control rather than Write, which would wait for an await.
func (s *socket) try(p []byte) (int, error) {
	s.pending, s.n, s.err = p, 0, nil
	err := s.control.Control(s.write)
	s.pending = nil
	if err != nil {
		return 0, err
	}
	return s.n, s.err
}

func (s *socket) writeOnce(fd uintptr) {
	for {
		n, err := writeNow(fd, s.pending)
		switch err {
		case nil:
			s.n = n
			return
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return
		}
		s.err = err
		return
	}
}

func (s *socket) await(deadline time.Time) error {
	if err := s.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	return s.control.Write(writable)
}

// writable is asked again whenever the runtime's poller has seen a change. It
// asks the kernel rather than to trust that it has: a change between the last
// try and now has gone unseen.
func writable(fd uintptr) bool {
	wanted := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for {
		n, err := unix.Poll(wanted, 0)
		if err != unix.EINTR {
			return n > 0 || err != nil
		}
	}
}

func (s *socket) close(time.Time) { s.conn.Close() }

func (s *socket) abort() { s.conn.Close() }
