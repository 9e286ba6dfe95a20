package websocket

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"tidegate/gateway"
)

// conformanceCase is a client's bytes and the expected outcome. The sections are numbered
// like those of the Autobahn test suite, which the cases follow.
type conformanceCase struct {
	name       string
	said       string
	compressed bool
	messages   []string
	pong       string // the last one; "none" if there must be none
	code       int    // of the close frame; noFrame if the gateway must send none
	portable   int    // the code on portable, if different: see the package documentation
}

const closed = "\x03\xe8" // 1000

// close1000 is a client's close frame with the code 1000.
var close1000 = keyed(final|opClose, closed)

// keyed returns a client's frame, masked with a nonzero key.
func keyed(first byte, payload string) string {
	key := [4]byte{0x12, 0xff, 0x00, 0x9c}
	frame := []byte{first}
	switch n := len(payload); {
	case n <= maxControl:
		frame = append(frame, maskBit|byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, maskBit|126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, maskBit|127), uint64(n))
	}
	frame = append(frame, key[:]...)
	for i := range len(payload) {
		frame = append(frame, payload[i]^key[i%4])
	}
	return string(frame)
}

// inForm returns a client's frame whose length is encoded in lengthBytes bytes. Its key is
// zero.
func inForm(first byte, payload string, lengthBytes int) string {
	frame := []byte{first, maskBit | 127}
	if lengthBytes == 2 {
		frame[1] = maskBit | 126
	}
	length := binary.BigEndian.AppendUint64(nil, uint64(len(payload)))
	frame = append(frame, length[8-lengthBytes:]...)
	return string(frame) + "\x00\x00\x00\x00" + payload
}

func text(s string) string { return described(false, s) }

func conformanceCases(t testing.TB) (all []conformanceCase) {
	add := func(c conformanceCase) { all = append(all, c) }
	good := func(name, said string, messages ...string) {
		add(conformanceCase{name: name, said: said + close1000, messages: messages, code: 1000})
	}
	bad := func(name, said string, code int, messages ...string) {
		add(conformanceCase{name: name, said: said, messages: messages, code: code})
	}

	// 1: framing. 9: limits.
	for _, n := range []int{0, 1, 125, 126, 127, 128, 65535, 65536, conformanceLimit} {
		x := strings.Repeat("*", n)
		good(fmt.Sprintf("1.1 text of %d bytes", n), keyed(final|opText, x), text(x))
		good(fmt.Sprintf("1.2 binary of %d bytes", n), keyed(final|opBinary, x), described(true, x))
	}
	big := strings.Repeat("*", conformanceLimit)
	bad("9.1 too long", keyed(final|opText, big+"*"), 1009)
	bad("9.3 too long in fragments", keyed(opBinary, big)+keyed(final, "*"), 1009)
	bad("9.5 long in fragments, after another", keyed(final|opText, "a")+keyed(opText, big)+keyed(0, "")+keyed(final, "*"), 1009, text("a"))
	good("9.6 as long as may be, in fragments", keyed(opText, big[1:])+keyed(0, "")+keyed(final, "*"), text(big))
	bad("9.7 fragments without data, without end", keyed(opText, "x")+strings.Repeat(keyed(0, ""), conformanceLimit/2), 1009)
	add(conformanceCase{name: "1.3 length in too many bytes, 2", said: inForm(final|opText, "abc", 2) + close1000, code: 1002, portable: 1000})
	add(conformanceCase{name: "1.3 length in too many bytes, 8", said: inForm(final|opText, "abc", 8) + close1000, code: 1002, portable: 1000})
	bad("1.4 highest bit of the length", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00x", 1002)
	bad("1.5 not masked", "\x81\x03abc", 1002)
	bad("1.5 not masked, between others", keyed(final|opText, "a")+"\x89\x00"+keyed(final|opText, "b"), 1002, text("a"))

	// 2: pings and pongs.
	for _, payload := range []string{"", "Hello", "\x00\xff\xfe\xfd\x00", strings.Repeat("\xfe", 125)} {
		add(conformanceCase{name: fmt.Sprintf("2 ping of %d bytes", len(payload)), said: keyed(final|opPing, payload) + close1000, pong: payload, code: 1000})
	}
	bad("2.5 ping of 126 bytes", keyed(final|opPing, strings.Repeat("x", 126)), 1002)
	add(conformanceCase{name: "2.7 pong that nobody asked for", said: keyed(final|opPong, "x") + close1000, pong: "none", code: 1000})
	add(conformanceCase{name: "2.9 pong, then ping", said: keyed(final|opPong, "x") + keyed(final|opPing, "y") + close1000, pong: "y", code: 1000})
	add(conformanceCase{name: "2.10 ten pings", said: tenPings() + close1000, pong: "9", code: 1000})

	// 3: reserved bits.
	for bit, name := range map[byte]string{rsv1: "1", rsv2: "2", rsv3: "3", rsv1 | rsv2 | rsv3: "all"} {
		for _, opcode := range []byte{opText, opBinary, opPing, opPong, opClose} {
			bad(fmt.Sprintf("3 reserved bit %s of opcode %d", name, opcode), keyed(final|opText, "a")+keyed(final|bit|opcode, ""), 1002, text("a"))
		}
	}

	// 4: opcodes.
	for _, opcode := range []byte{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		bad(fmt.Sprintf("4 opcode %d", opcode), keyed(final|opText, "a")+keyed(final|opcode, ""), 1002, text("a"))
	}

	// 5: fragments.
	good("5.3 two fragments", keyed(opText, "frag")+keyed(final, "ments"), text("fragments"))
	good("5 empty fragments", keyed(opText, "")+keyed(0, "")+keyed(final, ""), text(""))
	good("5 an empty last fragment", keyed(opBinary, "a")+keyed(final, ""), described(true, "a"))
	add(conformanceCase{name: "5.6 ping between fragments", said: keyed(opText, "frag") + keyed(final|opPing, "p") + keyed(final, "ments") + close1000,
		messages: []string{text("fragments")}, pong: "p", code: 1000})
	bad("5.1 ping in fragments", keyed(opPing, "a")+keyed(final, "b"), 1002)
	bad("5.2 pong in fragments", keyed(opPong, "a")+keyed(final, "b"), 1002)
	bad("5.9 continuation from nowhere", keyed(final, "a")+keyed(final|opText, "b"), 1002)
	bad("5.11 continuation that goes on, from nowhere", keyed(0, "a")+keyed(final|opText, "b"), 1002)
	bad("5.15 continuation after a message", keyed(opText, "a")+keyed(final, "b")+keyed(0, "c"), 1002, text("ab"))
	bad("5.18 text inside a message", keyed(opText, "a")+keyed(final|opText, "b"), 1002)
	bad("5.18 binary inside a message", keyed(opText, "a")+keyed(opBinary, "b"), 1002)

	// 6: UTF-8.
	const greek = "κόσμε"
	good("6.2 UTF-8", keyed(final|opText, greek), text(greek))
	split := keyed(opText, greek[:1])
	for i := 1; i < len(greek); i++ {
		split += keyed(0, greek[i:i+1])
	}
	good("6.2 UTF-8, each byte a fragment", split+keyed(final, ""), text(greek))
	for _, valid := range []string{"\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\uffff", "\U00010000", "\U0010ffff"} {
		good(fmt.Sprintf("6 %+q", valid), keyed(final|opText, valid), text(valid))
	}
	for _, invalid := range []string{
		"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", "\xff", "\xfe", "\x80", "\xbf", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf",
		"\xc2", "\xe2\x82", "\xf0\x9f\x98", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80",
	} {
		bad(fmt.Sprintf("6 %+q", invalid), keyed(final|opText, "a")+keyed(final|opText, invalid), 1007, text("a"))
		bad(fmt.Sprintf("6 %+q in fragments", invalid), keyed(opText, invalid[:1])+keyed(final, invalid[1:]), 1007)
		good(fmt.Sprintf("6 %+q is binary", invalid), keyed(final|opBinary, invalid), described(true, invalid))
	}

	// 7: the end.
	good("7.1 nothing after a close", keyed(final|opText, "a")+close1000+keyed(final|opText, "b"), text("a"))
	good("7.1 close inside a message", keyed(opText, "a"))
	add(conformanceCase{name: "7.1 gone without a close", said: keyed(final|opText, "a"), messages: []string{text("a")}, code: noFrame})
	add(conformanceCase{name: "7.1 gone inside a frame", said: keyed(final|opText, "abc")[:8], code: noFrame})
	add(conformanceCase{name: "7.1 gone between fragments", said: keyed(opText, "a"), code: noFrame})
	bad("1.4 highest bit of the length, and no key", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01", 1002)
	add(conformanceCase{name: "7.3 empty close", said: keyed(final|opClose, ""), code: noCode})
	bad("7.3 close of one byte", keyed(final|opClose, "\x03"), 1002)
	bad("7.3 close of 126 bytes", keyed(final|opClose, closed+strings.Repeat("x", 124)), 1002)
	good("7.3 close of 125 bytes", keyed(final|opClose, closed+strings.Repeat("x", 123)))
	bad("7.5 the reason is not UTF-8", keyed(final|opClose, closed+"\xce\xba\xed\xa0\x80"), 1007)
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		bad(fmt.Sprintf("7.7 close with %d", code), keyed(final|opClose, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+"why"), code)
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		bad(fmt.Sprintf("7.9 close with %d", code), keyed(final|opClose, string(binary.BigEndian.AppendUint16(nil, uint16(code)))), 1002)
	}

	// 12: compression.
	packed := func(s string) string { return string(deflated8(t, s)) }
	agreed := func(name, said string, code int, messages ...string) {
		add(conformanceCase{name: name, said: said, compressed: true, messages: messages, code: code})
	}
	for _, size := range []int{0, 16, 64, 256, 1024, 4096, conformanceLimit} {
		x := strings.Repeat("compressed ", 1+size/11)[:size]
		agreed(fmt.Sprintf("12 %d bytes", size), keyed(final|rsv1|opText, packed(x))+close1000, 1000, text(x))
		agreed(fmt.Sprintf("12 %d bytes, twice", size), strings.Repeat(keyed(final|rsv1|opBinary, packed(x)), 2)+close1000, 1000, described(true, x), described(true, x))
	}
	hello := packed("hello")
	agreed("12 in fragments", keyed(rsv1|opText, hello[:2])+keyed(final|opPing, "")+keyed(0, hello[2:3])+keyed(final, hello[3:])+close1000, 1000, text("hello"))
	agreed("12 not compressed", keyed(final|opText, "hello")+close1000, 1000, text("hello"))
	agreed("12 mark on a continuation", keyed(rsv1|opText, hello[:2])+keyed(final|rsv1, hello[2:]), 1002)
	agreed("12 mark on a ping", keyed(final|rsv1|opPing, ""), 1002)
	agreed("12 another bit", keyed(final|rsv1|rsv2|opText, hello), 1002)
	agreed("12 no stream", keyed(final|rsv1|opText, "\xff\xff\xff"), 1007)
	agreed("12 not UTF-8 inside", keyed(final|rsv1|opText, packed("\xff")), 1007)
	agreed("12 a bomb", keyed(final|rsv1|opText, packed(strings.Repeat("0", 8<<20))), 1009)
	all = append(all, conformanceCase{name: "12 cut short", said: keyed(final|rsv1|opText, hello[:3]) + close1000, compressed: true, code: 1007, portable: 1000})
	return all
}

func tenPings() (all string) {
	for i := range 10 {
		all += keyed(final|opPing, fmt.Sprint(i))
	}
	return all
}

// conformanceLimit is the size of the longest message in these tests, in bytes on the wire.
const conformanceLimit = 2*(64<<10) + 4<<10

func startRecording(t testing.TB, start starter) *recording {
	return start(t, gateway.Config{Limits: gateway.Limits{MessageBytes: 64 << 10}}).record()
}

func TestConformance(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := startRecording(t, start)
		for seed, c := range conformanceCases(t) {
			o := n.hear(t, c.said, c.compressed, rand.New(rand.NewSource(int64(seed))))
			lenient := c.portable != 0 && n.webSocket.Engine == Portable
			if lenient {
				c.code = c.portable
			}
			if o.code != c.code || !utf8.ValidString(o.reason) {
				t.Errorf("%s: closed with %d (%q), want %d", c.name, o.code, o.reason, c.code)
			}
			if !lenient && !slices.Equal(o.messages, c.messages) {
				t.Errorf("%s: heard %.200q, want %.200q", c.name, o.messages, c.messages)
			}
			if c.pong == "none" && len(o.pongs) > 0 || c.pong != "" && c.pong != "none" && (len(o.pongs) == 0 || o.pongs[len(o.pongs)-1] != c.pong) {
				t.Errorf("%s: pongs %q, want %q", c.name, o.pongs, c.pong)
			}
		}
		n.awaitSessions(0)
	})
}

// FuzzEngines sends both engines the same bytes, split in different places, and compares the
// outcomes.
func FuzzEngines(f *testing.F) {
	for _, c := range conformanceCases(f) {
		if !c.compressed && len(c.said) < 1000 {
			f.Add([]byte(c.said), int64(len(c.said)))
		}
	}
	epoll, portable := startRecording(f, startNode), startRecording(f, startPortableNode)
	f.Fuzz(func(t *testing.T, said []byte, seed int64) {
		cuts := rand.New(rand.NewSource(seed))
		ours, theirs := epoll.hear(t, string(said), false, cuts), portable.hear(t, string(said), false, cuts)
		switch {
		case strings.Contains(ours.reason, "more bytes than it needs"):
			return // the library accepts these
		case !slices.Equal(ours.messages, theirs.messages):
			t.Errorf("epoll heard %q, portable %q", ours.messages, theirs.messages)
		case ours.code == 1009 || ours.broken || theirs.broken:
			return // the library waits for all bytes; or the close frame was lost
		case ours.code != theirs.code:
			t.Errorf("epoll closed with %d (%s), portable with %d (%s)", ours.code, ours.reason, theirs.code, theirs.reason)
		}
	})
}
