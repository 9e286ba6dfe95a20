package fossil_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"tidegate/gateway/centrifuge/internal/fossil"
)

// pair is a message and the previous one.
type pair struct{ name, before, after string }

func pairs() []pair {
	prices := func(changed int) string {
		var b strings.Builder
		for i := range 40 {
			fmt.Fprintf(&b, `{"symbol":"S%02d","price":%d},`, i, 100+i*i*(1+changed*(i%7/6)))
		}
		return "[" + strings.TrimSuffix(b.String(), ",") + "]"
	}
	greek := strings.Repeat("αβγδε ζηθικ λμνξο πρστυ φχψω ", 5)
	return []pair{
		{"some numbers", prices(0), prices(1)},
		{"the same", prices(0), prices(0)},
		{"one more", prices(0), strings.TrimSuffix(prices(0), "]") + `,{"symbol":"NEW","price":1}]`},
		{"one in front", prices(0), `[{"symbol":"NEW","price":1},` + prices(0)[1:]},
		{"a part", prices(0), prices(0)[100:700]},
		{"the other way round", prices(0), prices(0)[600:] + prices(0)[:600]},
		{"half a letter", greek, strings.ReplaceAll(greek, "θ", "ι")},
		{"emoji", strings.Repeat("😀😁😂🤣😃😄😅😆", 9), strings.Repeat("😀😁😂🤣😃😄😅😇", 9)},
		{"zeros", strings.Repeat("\x00", 5000), strings.Repeat("\x00", 6001)},
		{"nothing but middles of letters", strings.Repeat("\x80", 4000), strings.Repeat("\x80", 5000)},
		{"large", strings.Repeat(prices(0), 70), strings.Repeat(prices(1), 70)},
	}
}

func TestDelta_IsSmallerAndMakesTheMessage(t *testing.T) {
	for _, p := range pairs() {
		delta := fossil.Delta([]byte(p.before), []byte(p.after))
		if delta == nil {
			t.Errorf("%s: there is no delta", p.name)
			continue
		}
		if len(delta) > len(p.after)/2 {
			t.Errorf("%s: of %d bytes differ %d", p.name, len(p.after), len(delta))
		}
		check(t, []byte(p.before), []byte(p.after))
	}
}

func TestDelta_IsNotThereWhereNothingIsTheSame(t *testing.T) {
	for _, p := range []pair{
		{"nothing", "", ""}, {"nothing before", "", "something that is long enough"}, {"nothing after", "something that is long enough", ""},
		{"short", "short", "short"}, {"something else", strings.Repeat("a", 100), strings.Repeat("b", 100)},
	} {
		if delta := fossil.Delta([]byte(p.before), []byte(p.after)); delta != nil {
			t.Errorf("%s: %q", p.name, delta)
		}
	}
}

func FuzzDelta(f *testing.F) {
	for _, p := range pairs() {
		f.Add([]byte(p.before), []byte(p.after))
	}
	f.Fuzz(check)
}

func check(t *testing.T, before, after []byte) {
	delta := fossil.Delta(before, after)
	if delta == nil {
		return
	}
	if len(delta) >= len(after) {
		t.Errorf("a delta of %d bytes for %d", len(delta), len(after))
	}
	if made, err := apply(before, delta); err != nil || !bytes.Equal(made, after) {
		t.Errorf("%q makes %q of %q, want %q: %v", delta, made, before, after, err)
	}
	if utf8.Valid(before) && utf8.Valid(after) && !utf8.Valid(delta) {
		t.Errorf("%q is not UTF-8", delta)
	}
}

// apply applies a delta as the description of the format says.
func apply(before, delta []byte) (made []byte, err error) {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
	number := func() (n int, end byte) {
		for len(delta) > 0 {
			c := delta[0]
			delta = delta[1:]
			digit := strings.IndexByte(digits, c)
			if digit < 0 {
				return n, c
			}
			n = n<<6 + digit
		}
		return n, 0
	}
	size, end := number()
	if end != '\n' {
		return nil, fmt.Errorf("no size")
	}
	for {
		switch n, command := number(); command {
		case '@':
			from, end := number()
			if end != ',' || from+n > len(before) {
				return made, fmt.Errorf("copy of %d from %d", n, from)
			}
			made = append(made, before[from:from+n]...)
		case ':':
			if n > len(delta) {
				return made, fmt.Errorf("insert of %d", n)
			}
			made = append(made, delta[:n]...)
			delta = delta[n:]
		case ';':
			if uint32(n) != sum(made) || len(made) != size || len(delta) > 0 {
				return made, fmt.Errorf("checksum %d, size %d, %d bytes behind", n, size, len(delta))
			}
			return made, nil
		default:
			return made, fmt.Errorf("command %q", command)
		}
	}
}

func sum(made []byte) (sum uint32) {
	for padded := append(bytes.Clone(made), make([]byte, -len(made)&3)...); len(padded) > 0; padded = padded[4:] {
		sum += binary.BigEndian.Uint32(padded)
	}
	return sum
}

func BenchmarkDelta(b *testing.B) {
	for _, p := range pairs() {
		b.Run(p.name, func(b *testing.B) {
			before, after := []byte(p.before), []byte(p.after)
			b.SetBytes(int64(len(after)))
			b.ReportAllocs()
			for b.Loop() {
				fossil.Delta(before, after)
			}
		})
	}
}
