//go:build unix

package bench

import (
	"net"

	"golang.org/x/sys/unix"
)

// write makes one system call, unless the kernel does not take all of the frame.
func write(conn net.Conn, fd int, frame []byte) error {
	n, err := unix.Write(fd, frame)
	if err == unix.EAGAIN || err == nil && n < len(frame) {
		_, err = conn.Write(frame[max(n, 0):])
	}
	return err
}
