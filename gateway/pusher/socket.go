package pusher

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"strings"
)

// newSocketID returns a random socket id, which identifies a connection in Pusher: two
// numbers with a dot between them.
func newSocketID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return socketIDOf(uint64(binary.BigEndian.Uint32(b[:4])), uint64(binary.BigEndian.Uint32(b[4:])))
}

func socketIDOf(left, right uint64) string {
	return strconv.FormatUint(left, 10) + "." + strconv.FormatUint(right, 10)
}

func isSocketID(id string) bool {
	left, right, _ := strings.Cut(id, ".")
	return len(id) <= 64 && isNumber(left) && isNumber(right)
}

func isNumber(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || '9' < r }) < 0
}
