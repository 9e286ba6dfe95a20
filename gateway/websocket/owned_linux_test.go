//go:build !lockorder

package websocket

import (
	"testing"
	"unsafe"
)

// This is the memory of an idle connection without its session, which TestSession_OwnsLittle
// covers.
func TestEpollConn_OwnsLittle(t *testing.T) {
	const most = 136
	if size := unsafe.Sizeof(epollConn{}); size > most {
		t.Errorf("a connection has %d bytes, at most %d are wanted: sender %d, socket %d",
			size, most, unsafe.Sizeof(sender{}), unsafe.Sizeof(socket{}))
	}
}
