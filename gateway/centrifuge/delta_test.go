package centrifuge_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/gateway/centrifuge/internal/fossil"
)

// TestDelta_IsAppliedByTheSDK makes the official client apply many deltas: of JSON with all
// kinds of characters, and of bytes.
func TestDelta_IsAppliedByTheSDK(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "deltas"))
	must(t, err)
	defer file.Close()
	r := rand.New(rand.NewPCG(1, 2))
	written := 0
	for range 3000 {
		before, after := pairOf(r)
		delta := fossil.Delta(before, after)
		if delta == nil {
			continue
		}
		line, _ := json.Marshal([][]byte{before, delta, after})
		if _, err := fmt.Fprintf(file, "%s\n", line); err != nil {
			t.Fatal(err)
		}
		written++
	}
	if written < 2000 {
		t.Fatalf("of 3000 pairs %d have a delta", written)
	}
	runInNode(t, "deltas.test.mjs", "DELTAS="+file.Name())
}

// pairOf returns a message and the previous one.
func pairOf(r *rand.Rand) (before, after []byte) {
	words := []string{"α", "é", "😀", "漢字", "plain", "\"", "\\", "\n", "0123456789", "the same words again, ", "\u2028"}
	texts := make([]string, 5+r.IntN(60))
	for i := range texts {
		texts[i] = strings.Repeat(words[r.IntN(len(words))], 1+r.IntN(4))
	}
	before, _ = json.Marshal(texts)
	for range 1 + r.IntN(4) {
		switch i := r.IntN(len(texts)); r.IntN(3) {
		case 0:
			texts[i] = words[r.IntN(len(words))]
		case 1:
			texts = append(texts[:i:i], texts[i:]...)
			texts = append(texts, words[r.IntN(len(words))])
		case 2:
			texts = append(texts[i:len(texts):len(texts)], texts[:i]...)
		}
	}
	after, _ = json.Marshal(texts)
	if r.IntN(3) == 0 { // bytes that are not text
		for range 5 {
			after[r.IntN(len(after))] = byte(r.IntN(256))
		}
	}
	return before, after
}
