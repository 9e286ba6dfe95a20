package websocket

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"tidegate/broker/lock"
	"tidegate/gateway/internal/wall"
)

// poller waits for data from the peers of all connections at once (epoll(7)), and wakes a
// connection when its peer has sent something. It is safe for concurrent use.
type poller struct {
	// Fixed at birth. The runtime's poller waits for the epoll descriptor itself, so that no
	// thread blocks in epoll_wait.
	file    *os.File
	control syscall.RawConn
	wall    *wall.Wall
	ended   chan struct{} // closed when run has returned

	mu      lock.Mutex[lock.Connections]
	watched []polled // by slot; nil if the slot is free
	free    []uint32 // free slots
}

// polled is a connection in a poller.
type polled interface {
	wake(last bool) // its peer has sent something; last: and will send nothing more
	hangUp()
}

// events is the buffer for the events that the kernel reports at once.
type events [128]unix.EpollEvent

func newPoller(w *wall.Wall) (*poller, error) {
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
	p := &poller{file: file, control: control, wall: w, ended: make(chan struct{})}
	go p.run()
	return p, nil
}

// watch wakes c whenever data arrives on the socket, and immediately if some has arrived
// already. It returns c's slot, to be passed to forget. The kernel stops watching a socket
// when it is closed.
func (p *poller) watch(c polled, socket syscall.RawConn) (slot uint32, err error) {
	slot = p.take(c)
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(slot)}
	if err = p.add(socket, &event); err != nil {
		p.forget(slot)
	}
	return slot, err
}

// take assigns a slot to c.
func (p *poller) take(c polled) (slot uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		slot, p.free = p.free[n-1], p.free[:n-1]
	} else {
		slot = uint32(len(p.watched))
		p.watched = append(p.watched, nil)
	}
	p.watched[slot] = c
	return slot
}

// add calls epoll_ctl(2).
func (p *poller) add(socket syscall.RawConn, event *unix.EpollEvent) (err error) {
	outer := p.control.Control(func(queue uintptr) {
		inner := socket.Control(func(fd uintptr) {
			err = unix.EpollCtl(int(queue), unix.EPOLL_CTL_ADD, int(fd), event)
		})
		err = errors.Join(err, inner)
	})
	return errors.Join(err, outer)
}

// forget frees the slot of a closed connection.
func (p *poller) forget(slot uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watched[slot] = nil
	p.free = append(p.free, slot)
}

// hangUp calls hangUp for every connection.
func (p *poller) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.watched {
		if c != nil {
			c.hangUp()
		}
	}
}

// close stops the poller, and waits until it has stopped.
func (p *poller) close() {
	p.file.Close()
	<-p.ended
}

func (p *poller) run() {
	defer close(p.ended)
	var batch events
	for {
		n, err := p.await(&batch)
		if err != nil {
			return // the poller is closed
		}
		p.wall.Do("wake connections", func() { p.wake(batch[:n]) })
	}
}

// await waits for events, and returns how many are in batch.
func (p *poller) await(batch *events) (n int, err error) {
	waitErr := p.control.Read(func(queue uintptr) bool {
		for {
			n, err = unix.EpollWait(int(queue), batch[:], 0)
			if err != unix.EINTR {
				return n != 0
			}
		}
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return n, err
}

// wake wakes the connections that the events are for. A slot may belong to another
// connection by now; waking that one does no harm.
func (p *poller) wake(batch []unix.EpollEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, event := range batch {
		if c := p.watched[event.Fd]; c != nil {
			c.wake(event.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
		}
	}
}
