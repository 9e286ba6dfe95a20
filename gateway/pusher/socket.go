package pusher

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"strings"
)

// newSocketID returns what Pusher calls a connection: two numbers and a dot between.
func newSocketID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	left, right := binary.BigEndian.Uint32(b[:4]), binary.BigEndian.Uint32(b[4:])
	return strconv.FormatUint(uint64(left), 10) + "." + strconv.FormatUint(uint64(right), 10)
}

func isSocketID(id string) bool {
	left, right, _ := strings.Cut(id, ".")
	return len(id) <= 64 && isNumber(left) && isNumber(right)
}

func isNumber(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || '9' < r }) < 0
}
