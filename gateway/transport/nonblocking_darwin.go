package transport

import "golang.org/x/sys/unix"

// readNow is read(2) from a socket that does not block.
func readNow(fd uintptr, p []byte) (int, error) { return unix.Read(int(fd), p) }

// writeNow is write(2) to a socket that does not block.
func writeNow(fd uintptr, p []byte) (int, error) { return unix.Write(int(fd), p) }
