package denials

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestDenial_TakesNoMoreThanItsBytes replaces a list of the largest denials by a new one.
func TestDenial_TakesNoMoreThanItsBytes(t *testing.T) {
	const many = 4000
	before := heap()
	var encoded [][]byte
	for i := range many {
		d := Denial{Token: fmt.Sprintf("%0512d", i), Reason: strings.Repeat("r", 100), By: "a key with a long name", Since: time.Now()}
		value, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		encoded = append(encoded, value)
	}
	var lists []*List
	for range 2 {
		var all []Denial
		for _, value := range encoded {
			d := Denial{Until: time.Now().Add(time.Hour)}
			if err := json.Unmarshal(value, &d); err != nil {
				t.Fatal(err)
			}
			all = append(all, d)
		}
		lists = append(lists, NewList(all))
	}
	if each := (heap() - before) / many; each > Bytes {
		t.Errorf("each takes %d bytes, want %d at most", each, Bytes)
	}
	runtime.KeepAlive(encoded)
	runtime.KeepAlive(lists)
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
