package transport

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// intake reads a connection by blocks, so that many small reads cost one call.
// It borrows a block when there is something to read, not while it waits for
// that. It belongs to the reading goroutine.
type intake struct {
	conn   net.Conn
	socket syscall.RawConn // nil: reads go to conn, which has buffers of its own
	blocks *sync.Pool      // of *[blockBytes]byte
	fill   func(fd uintptr) bool

	glancing bool              // the read that runs does not wait
	drained  bool              // the last fill took all that there was
	block    *[blockBytes]byte // nil: none is borrowed
	unread   []byte            // of the block; or what came with the handshake
	err      error             // of the last fill
}

// errSilent says that the peer has begun no frame, and nothing has come from it.
var errSilent = errors.New("the peer is silent")

const blockBytes = 4 << 10

func (in *intake) begin(conn net.Conn, early []byte, blocks *sync.Pool) {
	in.conn, in.unread, in.blocks = conn, early, blocks
	if tcp, ok := conn.(*net.TCPConn); ok {
		if socket, err := tcp.SyscallConn(); err == nil {
			in.socket, in.fill = socket, in.fillBlock
		}
	}
}

// read returns how many of the bytes in p came from the connection just now.
func (in *intake) read(p []byte) (n, fresh int, err error) {
	if len(in.unread) > 0 {
		return in.takeUnread(p), 0, nil
	}
	if in.glancing && in.drained {
		in.drained = false // more may come until the next glance
		return 0, 0, errSilent
	}
	if in.socket == nil || len(p) >= blockBytes {
		n, err = in.conn.Read(p)
		return n, n, err
	}
	if err := in.socket.Read(in.fill); err != nil {
		return 0, 0, err
	}
	fresh = len(in.unread)
	return in.takeUnread(p), fresh, in.err
}

// glance reads what has come by now; errSilent: nothing, or what has come since the
// last read. It is for those that have a socket, and for a p that is shorter than a
// block.
func (in *intake) glance(p []byte) (n, fresh int, err error) {
	in.glancing = true
	defer func() { in.glancing = false }()
	return in.read(p)
}

// peek is glance, but leaves what has come to be read.
func (in *intake) peek() (fresh int, err error) {
	if len(in.unread) > 0 {
		return 0, nil
	}
	_, fresh, err = in.glance(nil)
	return fresh, err
}

func (in *intake) takeUnread(p []byte) int {
	n := copy(p, in.unread)
	if in.unread = in.unread[n:]; len(in.unread) == 0 {
		in.release()
	}
	return n
}

// release gives the block back.
func (in *intake) release() {
	if in.block != nil {
		in.blocks.Put(in.block)
	}
	in.block, in.unread = nil, nil
}

// fillBlock is called when there may be something to read; false means that
// there is not.
func (in *intake) fillBlock(fd uintptr) bool {
	block, ok := in.blocks.Get().(*[blockBytes]byte)
	if !ok {
		block = new([blockBytes]byte)
	}
	in.block = block
	for {
		n, err := readNow(fd, block[:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			in.release()
			in.err = errSilent
			return in.glancing
		case err == nil && n == 0:
			err = io.EOF
		}
		in.unread, in.err = block[:max(n, 0)], err
		in.drained = n < len(block)
		if err != nil {
			in.release()
		}
		return true
	}
}
