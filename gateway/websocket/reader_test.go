package websocket

import (
	"bytes"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"tidegate/gateway/internal/rates"
)

func newTestReader(limit int64) (*reader, *purse) {
	p := &purse{}
	return &reader{limit: limit, deflate: true, unfinished: &unfinished{budget: p}}, p
}

// purse is a budget without a limit.
type purse struct{ spent int }

func (p *purse) Hold(_ *rates.Bucket, bytes int) error { p.spent += bytes; return nil }
func (p *purse) LetGo(_ *rates.Bucket, bytes int)      { p.spent -= bytes }

// told passes bytes to a reader in pieces, and returns all items as text.
func told(r *reader, said []byte, cut func(left int) int) (items []string) {
	for rest := bytes.Clone(said); len(rest) > 0; {
		n := cut(len(rest))
		for piece := rest[:n:n]; len(piece) > 0; {
			one, left, err := r.next(piece)
			if err != nil {
				items = append(items, "error "+err.Error())
			}
			if one.kind != 0 {
				items = append(items, fmt.Sprintf("%d %v %q", one.kind, one.packed, one.payload))
			}
			piece = left
		}
		rest = rest[n:]
	}
	return items
}

func whole(left int) int { return left }

// FuzzReader splits a client's bytes in different places. The items must be the same, and
// all memory must be returned in the end.
func FuzzReader(f *testing.F) {
	for _, c := range conformanceCases(f) {
		if len(c.said) < 1000 {
			f.Add([]byte(c.said), int64(1))
		}
	}
	f.Fuzz(func(t *testing.T, said []byte, seed int64) {
		random := rand.New(rand.NewSource(seed))
		atOnce, spent := newTestReader(1000)
		inPieces, spentInPieces := newTestReader(1000)
		want := told(atOnce, said, whole)
		if got := told(inPieces, said, func(left int) int { return 1 + random.Intn(left) }); !slices.Equal(got, want) {
			t.Errorf("in pieces %q\nat once   %q", got, want)
		}
		atOnce.reset()
		inPieces.reset()
		if spent.spent != 0 || spentInPieces.spent != 0 {
			t.Errorf("%d and %d bytes are held", spent.spent, spentInPieces.spent)
		}
	})
}

func TestReader_AMessageInOnePieceIsNotCopied(t *testing.T) {
	r, _ := newTestReader(-1)
	frame := []byte(keyed(final|opText, strings.Repeat("x", 1000)))
	said := make([]byte, len(frame))
	if got := testing.AllocsPerRun(100, func() { copy(said, frame); r.next(said) }); got > 0 {
		t.Errorf("a message takes %v allocations", got)
	}
	if !r.idle() {
		t.Error("the reader holds something")
	}
}

// Memory grows with the bytes that have arrived, not with the announced length.
func TestReader_AnAnnouncedLengthTakesNoMemory(t *testing.T) {
	r, p := newTestReader(-1)
	said := []byte("\x82\xff\x00\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00x")
	if items := told(r, said, whole); len(items) > 0 {
		t.Fatalf("told %q", items)
	}
	if p.spent > bufferBytes {
		t.Errorf("one byte takes %d", p.spent)
	}
}

func TestUnmask_BeginsAnywhere(t *testing.T) {
	key := [4]byte{1, 2, 3, 4}
	for length := range 40 {
		for at := range 4 {
			piece, want := make([]byte, length), make([]byte, length)
			for i := range piece {
				piece[i], want[i] = byte(i), byte(i)^key[(i+at)%4]
			}
			if unmask(piece, key, at); !bytes.Equal(piece, want) {
				t.Fatalf("%d bytes from %d: %v, want %v", length, at, piece, want)
			}
		}
	}
}

func BenchmarkReader(b *testing.B) {
	for _, size := range []int{128, 4000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			frame := []byte(keyed(final|opText, strings.Repeat("x", size)))
			said := make([]byte, len(frame))
			r, _ := newTestReader(-1)
			b.SetBytes(int64(size))
			for b.Loop() {
				copy(said, frame)
				r.next(said)
			}
		})
	}
}
