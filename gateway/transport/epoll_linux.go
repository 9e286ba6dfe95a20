package transport

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// epoll is Linux's readiness; see epoll(7). Its descriptor is itself one that the
// runtime's poller waits for, so that no thread blocks in it.
type epoll struct {
	// Fixed at birth.
	file    *os.File
	control syscall.RawConn
	toQueue func(fd uintptr) // the parts of a call, made once for it to allocate nothing
	toConn  func(fd uintptr)

	// Of the call that runs.
	queue     int
	conn      syscall.RawConn
	operation int
	event     unix.EpollEvent
	err       error
}

func newReadiness() (readiness, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "epoll")
	control, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	e := &epoll{file: file, control: control}
	e.toQueue, e.toConn = e.callQueue, e.callConn
	return e, nil
}

func (e *epoll) add(conn syscall.RawConn, t ticket) error { return e.call(unix.EPOLL_CTL_ADD, conn, t) }

func (e *epoll) arm(conn syscall.RawConn, t ticket) error { return e.call(unix.EPOLL_CTL_MOD, conn, t) }

func (e *epoll) call(operation int, conn syscall.RawConn, t ticket) error {
	e.operation, e.conn = operation, conn
	e.event = unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLONESHOT,
		Fd:     int32(t),
		Pad:    int32(t >> 32),
	}
	err := e.control.Control(e.toQueue)
	e.conn = nil
	if err != nil {
		return err
	}
	return e.err
}

func (e *epoll) callQueue(queue uintptr) {
	e.queue = int(queue)
	if err := e.conn.Control(e.toConn); err != nil {
		e.err = err
	}
}

func (e *epoll) callConn(fd uintptr) {
	e.err = unix.EpollCtl(e.queue, e.operation, int(fd), &e.event)
}

func (e *epoll) await(into []ticket) (n int, err error) {
	var events [pollerBatch]unix.EpollEvent
	waitErr := e.control.Read(func(queue uintptr) bool {
		n, err = unix.EpollWait(int(queue), events[:len(into)], 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
	if waitErr != nil {
		return 0, waitErr
	}
	for i := range max(n, 0) {
		into[i] = ticket(uint32(events[i].Fd)) | ticket(uint32(events[i].Pad))<<32
	}
	return n, err
}

func (e *epoll) close() { e.file.Close() }
