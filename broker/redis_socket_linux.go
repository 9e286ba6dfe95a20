package broker

import (
	"context"
	"io"
	"net"
	"syscall"
	"unsafe"
)

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// direct dials connections that read and write without notifying the Go scheduler. Their
// sockets do not block; a notification would wake the monitor thread of the scheduler,
// which then polls every 20 µs for as long as there is work. TLS connections are returned
// as they are.
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
	c := &directConn{TCPConn: tcp, control: control}
	c.reading.run, c.writing.run = c.reading.read, c.writing.write
	return c, nil
}

// directConn may be read by one goroutine and written by one at a time. Its calls do not
// allocate.
type directConn struct {
	*net.TCPConn
	control          syscall.RawConn
	reading, writing directCall
}

// directCall is a system call that may have to wait.
type directCall struct {
	run func(fd uintptr) (over bool) // the method read or write
	p   []byte
	n   int
	err error
}

func (c *directConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.reading.do(p, c.control.Read)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func (c *directConn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return c.writing.do(p, c.control.Write)
}

func (d *directCall) do(p []byte, wait func(func(uintptr) bool) error) (int, error) {
	d.p, d.n, d.err = p, 0, nil
	waited := wait(d.run)
	d.p = nil
	if waited != nil {
		return d.n, waited
	}
	return d.n, d.err
}

func (d *directCall) read(fd uintptr) (over bool) {
	d.n, over, d.err = transfer(syscall.SYS_READ, fd, d.p)
	return over
}

func (d *directCall) write(fd uintptr) bool {
	for d.n < len(d.p) {
		more, over, err := transfer(syscall.SYS_WRITE, fd, d.p[d.n:])
		d.n += more
		if !over || err != nil {
			d.err = err
			return over
		}
	}
	return true
}

// transfer makes one system call. It returns false for over if the socket would block. p
// must not be empty.
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
