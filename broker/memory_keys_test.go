package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestMemoryKeys_AreBoundedAndTheOldestGo(t *testing.T) {
	var r memoryKeys
	now, long := time.Unix(1e9, 0), strings.Repeat("k", 250)
	const more = 2 * MemoryKeyBytes / 250
	for n := range more {
		r.remember("a", fmt.Sprint(long, n), Position{Epoch: "e", Offset: uint64(n)}, now)
	}
	if r.bytes > MemoryKeyBytes || len(r.log) != len(r.first) || len(r.log) < MemoryKeyBytes/1000 {
		t.Errorf("%d bytes for %d and %d keys are held, want %d at most", r.bytes, len(r.log), len(r.first), MemoryKeyBytes)
	}
	if _, known := r.position("a", long+"0", now); known {
		t.Error("the oldest is known still")
	}
	if p, known := r.position("a", fmt.Sprint(long, more-1), now); !known || p.Offset != more-1 {
		t.Errorf("the newest is at %v, %v", p, known)
	}
	if _, known := r.position("a", fmt.Sprint(long, more-1), now.Add(IdempotencyWindow)); known || r.bytes != 0 || len(r.first) != 0 {
		t.Errorf("%d bytes are held after the window", r.bytes)
	}
}
