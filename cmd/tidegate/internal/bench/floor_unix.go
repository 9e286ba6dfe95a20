//go:build unix

package bench

import "golang.org/x/sys/unix"

// write makes one system call, unless the kernel does not take all of the frame.
func (s *floorSession) write(frame []byte) error {
	n, err := unix.Write(s.fd, frame)
	if err == unix.EAGAIN || err == nil && n < len(frame) {
		_, err = s.conn.Write(frame[max(n, 0):])
	}
	return err
}
