package transport

import (
	"bytes"
	"math/rand"
	"strings"
	"testing"
)

// clientFrame is a frame of a client's in a form of its choice.
func clientFrame(first byte, payload string, lengthBytes int) []byte {
	frame := []byte{first}
	switch lengthBytes {
	case 0:
		frame = append(frame, masking|byte(len(payload)))
	case 2:
		frame = append(frame, masking|126, byte(len(payload)>>8), byte(len(payload)))
	case 8:
		frame = append(frame, masking|127, 0, 0, 0, 0, 0, byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload)))
	}
	return append(append(frame, "\xc1\xc2\xc3\xc4"...), payload...)
}

// However the frames are cut into reads, the marks are those of the messages, and
// nothing else is changed.
func TestMarks_AreTakenOffWhereTheyMayBe(t *testing.T) {
	frames := []struct {
		first, passed byte
		payload       string
		lengthBytes   int
	}{
		{final | rsv1 | opText, final | opText, "\xc1\xc1", 0},
		{final | opText, final | opText, strings.Repeat("\xc1", 100), 0},
		{rsv1 | opBinary, opBinary, "", 0},
		{final | rsv1 | opPing, final | rsv1 | opPing, "\xc1", 0},
		{rsv1, rsv1, strings.Repeat("\xc1", 300), 2},
		{final, final, strings.Repeat("\xc1", 70_000), 8},
		{final | rsv1 | opText, final | opText, "", 2},
		{final | opBinary, final | opBinary, "", 8},
		{final | rsv1 | opClose, final | rsv1 | opClose, "", 0},
		{final | rsv1 | opText, final | opText, "", 0},
	}
	var sent, want []byte
	var marked []bool
	for _, f := range frames {
		sent = append(sent, clientFrame(f.first, f.payload, f.lengthBytes)...)
		want = append(want, clientFrame(f.passed, f.payload, f.lengthBytes)...)
		if opcode := f.first & opcodeMask; opcode == opText || opcode == opBinary {
			marked = append(marked, f.first&rsv1 != 0)
		}
	}
	for most := 1; most < 40; most++ {
		random := rand.New(rand.NewSource(int64(most)))
		var m marks
		passed := bytes.Clone(sent)
		for rest := passed; len(rest) > 0; {
			n := min(1+random.Intn(most), len(rest))
			m.pass(rest[:n])
			rest = rest[n:]
		}
		if !bytes.Equal(passed, want) {
			t.Fatalf("reads of up to %d bytes: other bytes pass", most)
		}
		for i, mark := range marked {
			if m.next() != mark {
				t.Fatalf("reads of up to %d bytes: message %d is marked: %v", most, i, !mark)
			}
		}
		if m != (marks{}) {
			t.Fatalf("reads of up to %d bytes: %+v is left", most, m)
		}
	}
}

// FuzzMarks checks that nothing but marks is changed, whatever a client sends, and
// that it does not matter how it is cut.
func FuzzMarks(f *testing.F) {
	f.Add(clientFrame(final|rsv1|opText, "x", 0), byte(1))
	f.Add(clientFrame(rsv1|opBinary, "x", 8), byte(3))
	f.Fuzz(func(t *testing.T, sent []byte, cut byte) {
		var whole, parts marks
		at := bytes.Clone(sent)
		whole.pass(at)
		again := bytes.Clone(sent)
		for r := bytes.NewBuffer(again); r.Len() > 0; {
			parts.pass(r.Next(int(cut) + 1))
		}
		if !bytes.Equal(at, again) || whole != parts {
			t.Errorf("cut into %d bytes, %q passes as %q, else as %q", int(cut)+1, sent, again, at)
		}
		for i := range sent {
			if at[i]|rsv1 != sent[i]|rsv1 {
				t.Errorf("%q became %q", sent, at)
			}
		}
	})
}

func BenchmarkMarks(b *testing.B) {
	frame := []byte(masked(final|opText, strings.Repeat("x", 128)))
	var m marks
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		m.pass(frame)
		m.next()
	}
}
