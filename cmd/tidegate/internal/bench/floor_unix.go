//go:build unix

package bench

import (
	"net"

	"golang.org/x/sys/unix"
)

// write writes the frame with one system call. Only if the kernel does not accept the whole
// frame, it writes the rest through conn, which blocks.
func write(conn net.Conn, fd int, frame []byte) error {
	n, err := unix.Write(fd, frame)
	if err == unix.EAGAIN || err == nil && n < len(frame) {
		_, err = conn.Write(frame[max(n, 0):])
	}
	return err
}
