package transport

// makeRoom has the goroutine's stack grown for a handshake at once. A goroutine
// begins with 2 KB; left to itself its stack is copied twice in the depths of the
// handshake, where that takes longest.
//
//go:noinline
func makeRoom(at int) byte {
	var room [handshakeRoom]byte
	return room[at]
}

const handshakeRoom = 6 << 10
