package broker

import (
	"context"
	"io"
	"net"
	"syscall"
	"unsafe"
)

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// direct returns connections that read and write without telling the scheduler:
// their sockets do not block, and to be told would wake its monitor, which then
// looks around every 20 µs for as long as there is something to do. TLS stays as
// it is.
func (dial dialer) direct(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn, nil
	}
	control, err := tcp.SyscallConn()
	if err != nil {
		tcp.Close()
		return nil, err
	}
	return &directConn{tcp, control}, nil
}

type directConn struct {
	*net.TCPConn
	control syscall.RawConn
}

func (c *directConn) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	waited := c.control.Read(func(fd uintptr) (over bool) {
		n, over, err = transfer(syscall.SYS_READ, fd, p)
		return over
	})
	switch {
	case waited != nil:
		return 0, waited
	case n == 0 && err == nil:
		return 0, io.EOF
	}
	return n, err
}

func (c *directConn) Write(p []byte) (n int, err error) {
	waited := c.control.Write(func(fd uintptr) bool {
		for n < len(p) {
			more, over, failed := transfer(syscall.SYS_WRITE, fd, p[n:])
			n += more
			if !over || failed != nil {
				err = failed
				return over
			}
		}
		return true
	})
	if waited != nil {
		return n, waited
	}
	return n, err
}

// transfer makes one system call; over is false if the socket would block. p is
// not empty.
func transfer(call, fd uintptr, p []byte) (n int, over bool, err error) {
	for {
		n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), true, nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, false, nil
		}
		return 0, true, errno
	}
}
