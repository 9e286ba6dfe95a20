package websocket

import (
	"errors"
	"math"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/broker/lock"
	"tidegate/gateway/internal/wall"
)

// poller waits for the peers of all connections at once (epoll(7)). It wakes a connection
// when its peer has sent something, and a writer when its peer takes more. It is safe for
// concurrent use.
type poller struct {
	// Fixed at birth. The runtime's poller waits for the epoll descriptor itself, so that no
	// thread blocks in epoll_wait.
	file    *os.File
	control syscall.RawConn
	wall    *wall.Wall
	ended   chan struct{} // closed when run has returned

	mu      lock.Mutex[lock.Connections]
	watched []polled                 // by slot; nil if the slot is free
	free    []uint32                 // free slots
	rooms   map[uint32]chan struct{} // by slot; closed when the socket may take more
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
	p := &poller{file: file, control: control, wall: w, ended: make(chan struct{}), rooms: make(map[uint32]chan struct{})}
	go p.run()
	return p, nil
}

// nowhere is the slot of a socket that is not watched.
const nowhere = math.MaxUint32

// watch wakes c whenever data arrives on its socket, and immediately if some has arrived
// already.
func (p *poller) watch(c polled, s *socket) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		s.slot, p.free = p.free[n-1], p.free[:n-1]
	} else {
		s.slot = uint32(len(p.watched))
		p.watched = append(p.watched, nil)
	}
	p.watched[s.slot] = c
	err := p.change(unix.EPOLL_CTL_ADD, s, 0)
	if err != nil {
		p.free = append(p.free, s.slot)
		p.watched[s.slot] = nil
	}
	return err
}

// change calls epoll_ctl(2). The caller must hold mu, and s must be watched.
func (p *poller) change(operation int, s *socket, more uint32) (err error) {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET | more, Fd: int32(s.slot)}
	failed := p.control.Control(func(queue uintptr) { err = unix.EpollCtl(int(queue), operation, int(s.fd), &event) })
	return errors.Join(failed, err)
}

// forget frees the slot of a socket, before that is closed; only the first call has an effect.
// The kernel stops watching a socket when it is closed.
func (p *poller) forget(s *socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.slot == nowhere {
		return
	}
	p.announceRoom(s.slot)
	p.watched[s.slot] = nil
	p.free = append(p.free, s.slot)
	s.slot = nowhere
}

// awaitRoom implements outlet.await for a socket.
func (p *poller) awaitRoom(s *socket, deadline time.Time) error {
	room, err := p.room(s)
	if err != nil {
		return err
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-room:
		return nil
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
}

// room returns a channel that is closed when the socket may take more: at once, if it may
// already.
func (p *poller) room(s *socket) (<-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.slot == nowhere {
		return nil, net.ErrClosed
	}
	room := p.rooms[s.slot]
	if room == nil {
		room = make(chan struct{})
		p.rooms[s.slot] = room
	}
	return room, p.change(unix.EPOLL_CTL_MOD, s, unix.EPOLLOUT)
}

// announceRoom tells the writer that waits for room, if any. The caller must hold mu.
func (p *poller) announceRoom(slot uint32) {
	if room := p.rooms[slot]; room != nil {
		close(room)
		delete(p.rooms, slot)
	}
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

// wake passes the events on. A slot may belong to another connection by now; waking that one
// does no harm.
func (p *poller) wake(batch []unix.EpollEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, event := range batch {
		if event.Events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			p.announceRoom(uint32(event.Fd))
		}
		if c := p.watched[event.Fd]; c != nil && event.Events != unix.EPOLLOUT {
			c.wake(event.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
		}
	}
}
