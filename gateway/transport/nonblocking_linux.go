package transport

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readNow is read(2) from a socket that does not block, into a p that is not
// empty. The scheduler is not told of the call: that would wake its monitor, which
// then looks around every 20 µs for as long as there is something to do. Where
// messages are few that costs more than the call.
func readNow(fd uintptr, p []byte) (int, error) {
	return resultOf(unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))))
}

// writeNow is write(2), as readNow is read(2).
func writeNow(fd uintptr, p []byte) (int, error) {
	return resultOf(unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))))
}

func resultOf(n, _ uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
