package auth

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzMembers compares members with encoding/json.
func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"sub":"alice","exp":1.5e9 , "info" : {"a":[1,"}"]},"x":[],"y":{},"z":null}`))
	f.Add([]byte(` { "\u0061\"" : "\\" , "b":[{"c":"]"}, 2],"":true}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`[{"a":1}]`))
	f.Add([]byte(`{"a"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !utf8.Valid(data) {
			return // refused earlier
		}
		m := membersOf(data)
		got := make(map[string]json.RawMessage)
		for m.next() {
			got[string(m.name)] = m.value
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(data, &want) != nil || want == nil {
			if json.Valid(data) && !m.broken {
				t.Fatalf("%q is no object", data)
			}
			return
		}
		if m.broken || len(got) != len(want) {
			t.Fatalf("%q has %d members, want %d (broken: %v)", data, len(got), len(want), m.broken)
		}
		for name, value := range want {
			if !bytes.Equal(got[name], value) {
				t.Errorf("%q: %q is %q, want %q", data, name, got[name], value)
			}
		}
	})
}
