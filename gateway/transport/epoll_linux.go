package transport

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// epoll is Linux's readiness; see epoll(7). Its descriptor is itself one that the
// runtime's poller waits for, so that no thread blocks in it.
type epoll struct {
	file    *os.File
	control syscall.RawConn
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
	return &epoll{file, control}, nil
}

func (e *epoll) arm(conn syscall.RawConn, t ticket) error {
	event := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLONESHOT,
		Fd:     int32(t),
		Pad:    int32(t >> 32),
	}
	var err error
	controlErr := e.control.Control(func(queue uintptr) {
		controlErr := conn.Control(func(fd uintptr) { err = arm(int(queue), int(fd), &event) })
		if controlErr != nil {
			err = controlErr
		}
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}

// arm asks for an event again, or for the first time.
func arm(queue, fd int, event *unix.EpollEvent) error {
	err := unix.EpollCtl(queue, unix.EPOLL_CTL_MOD, fd, event)
	if err == unix.ENOENT {
		return unix.EpollCtl(queue, unix.EPOLL_CTL_ADD, fd, event)
	}
	return err
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
