//go:build !lockorder

package websocket

import (
	"testing"
	"unsafe"
)

// What an idle connection owns beside its session: TestSession_OwnsLittle has the rest.
func TestEpollConn_OwnsLittle(t *testing.T) {
	const most = 152
	if size := unsafe.Sizeof(epollConn{}); size > most {
		t.Errorf("a connection has %d bytes, at most %d are wanted: sender %d, socket %d",
			size, most, unsafe.Sizeof(sender{}), unsafe.Sizeof(socket{}))
	}
}
