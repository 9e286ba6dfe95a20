package broker

import (
	"strings"
	"testing"
)

func TestAnswerBounds(t *testing.T) {
	tests := map[string]bool{ // whether it may be read
		"+OK\r\n:7\r\n-ERR no\r\n":                     true,
		"$3\r\na\nb\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n": true,
		"*2\r\n*2\r\n$1\r\na\r\n*0\r\n:1\r\n+OK\r\n":   true,
		"*1048576\r\n":                         true,
		"*1048577\r\n":                         false,
		"*2\r\n*1048575\r\n":                   false,
		"*1\r\n:1\r\n*1048576\r\n":             true,
		"$67108864\r\n":                        true,
		"$67108865\r\n":                        false,
		"$9223372036854775807\r\n":             false,
		"*1\r\n$-2\r\n":                        false,
		"$\r\n":                                false,
		"$1x\r\n":                              false,
		"+OK\n":                                false,
		"\r\n":                                 false,
		"%1\r\n":                               false,
		strings.Repeat("*1\r\n", mostNested):   true,
		strings.Repeat("*1\r\n", mostNested+1): false,
		"+" + strings.Repeat("x", mostLine):    false,
		"*2\r\n$1\r\na\r\n+" + strings.Repeat("x", 2*mostLine) + "\r\n": false,
	}
	for text, want := range tests {
		var whole, bytewise answerBounds
		err := whole.pass([]byte(text))
		for i := range len(text) {
			_ = bytewise.pass([]byte(text[i : i+1]))
		}
		if (err == nil) != want || (bytewise.failed == nil) != want {
			t.Errorf("%.60q: %v, byte by byte %v; want that it may be read: %v", text, err, bytewise.failed, want)
		}
	}
}

// However the stream is cut, the same is found.
func FuzzAnswerBounds(f *testing.F) {
	f.Add([]byte("*2\r\n$3\r\nabc\r\n:1\r\n+OK\r\n"), byte(3))
	f.Add([]byte("*2\r\n*1\r\n$-1\r\n*3000000\r\n"), byte(1))
	f.Fuzz(func(t *testing.T, data []byte, cut byte) {
		var whole, cutUp answerBounds
		_ = whole.pass(data)
		for rest := data; len(rest) > 0; {
			n := min(len(rest), int(cut)+1)
			_ = cutUp.pass(rest[:n])
			rest = rest[n:]
		}
		if (whole.failed == nil) != (cutUp.failed == nil) {
			t.Errorf("%q: whole %v, in pieces of %d %v", data, whole.failed, int(cut)+1, cutUp.failed)
		}
		if len(whole.open) > mostNested || whole.elements > mostElements || whole.body > mostBulk+2 {
			t.Errorf("%q is beyond the bounds: %+v", data, whole)
		}
	})
}
