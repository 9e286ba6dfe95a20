package broker

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestWireReader(t *testing.T) {
	tests := []struct {
		text   string
		kind   byte
		fields []string
		flat   bool
	}{
		{"+OK\r\n", '+', []string{"OK"}, true},
		{"-ERR no\r\n", '-', []string{"ERR no"}, true},
		{"$5\r\na\r\nb\n\r\n", '$', []string{"a\r\nb\n"}, true},
		{"$0\r\n\r\n", '$', []string{""}, true},
		{">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n", '>', []string{"message", "a", "hi"}, true},
		{"%2\r\n+role\r\n+master\r\n+modules\r\n*1\r\n%1\r\n+name\r\n+x\r\n", '%', []string{"role", "master", "modules", "name", "x"}, false},
		{"*3\r\n_\r\n$-1\r\n#t\r\n", '*', []string{"", "", "t"}, true},
		{"|1\r\n+ttl\r\n:1\r\n,1.5\r\n", ',', []string{"ttl", "1", "1.5"}, true},
		{"$100000\r\n" + strings.Repeat("x", 100_000) + "\r\n", '$', []string{strings.Repeat("x", 100_000)}, true},
	}
	for _, test := range tests {
		for _, r := range []*wireReader{
			newWireReader(strings.NewReader(test.text + "+next\r\n")),
			newWireReader(iotest.OneByteReader(strings.NewReader(test.text + "+next\r\n"))),
		} {
			said, err := r.next()
			if err != nil || said.kind != test.kind || !slices.Equal(said.fields, test.fields) || said.flat != test.flat {
				t.Errorf("%.60q: %c %.80q, flat %v, %v", test.text, said.kind, said.fields, said.flat, err)
			}
			if said, err := r.next(); err != nil || said.fields[0] != "next" {
				t.Errorf("behind %.60q: %q, %v", test.text, said.fields, err)
			}
		}
	}
}

func TestWireReader_Bounds(t *testing.T) {
	for _, text := range []string{
		"$999999999999999\r\n", "$67108865\r\n", "$-2\r\n", "$x\r\n", "$3\r\nabcd\r\n",
		"*2000000000\r\n", "%9223372036854775807\r\n", "*2\r\n*1048575\r\n",
		strings.Repeat("*1\r\n", mostNested+1), "+OK\n", "\r\n", "?\r\n", "?1\r\n",
		"+" + strings.Repeat("x", 1<<20), strings.Repeat("|0\r\n", mostElements+1) + "+OK\r\n",
	} {
		if said, err := newWireReader(strings.NewReader(text)).next(); err == nil {
			t.Errorf("%.40q is read as %c %.40q", text, said.kind, said.fields)
		}
	}
}

// What is announced takes no room before it comes.
func TestWireReader_MakesRoomForWhatComes(t *testing.T) {
	for _, text := range []string{"$67108864\r\nabc", "*1048576\r\n+a\r\n"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := newWireReader(strings.NewReader(text)).next()
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; err == nil || took > 4*readAhead {
			t.Errorf("%q takes %d bytes: %v", text, took, err)
		}
	}
}

func FuzzWireReader(f *testing.F) {
	f.Add([]byte(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n%1\r\n+role\r\n+master\r\n"))
	f.Add([]byte("|1\r\n+a\r\n:1\r\n*2\r\n_\r\n$-1\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, slow := newWireReader(bytes.NewReader(data)), newWireReader(iotest.OneByteReader(bytes.NewReader(data)))
		for {
			said, err := r.next()
			same, errSlow := slow.next()
			if (err == nil) != (errSlow == nil) || err == nil && (said.kind != same.kind || !slices.Equal(said.fields, same.fields)) {
				t.Fatalf("%q: %v, %v; byte by byte %v, %v", data, said, err, same, errSlow)
			}
			if err != nil {
				return
			}
			if len(said.fields) != len(said.kinds) {
				t.Fatalf("%q: %d fields of %d kinds", data, len(said.fields), len(said.kinds))
			}
		}
	})
}
