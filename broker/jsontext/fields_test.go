package jsontext_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/broker/jsontext"
)

// FuzzFields compares Fields with encoding/json.
func FuzzFields(f *testing.F) {
	f.Add([]byte(`{"sub":"alice","exp":1.5e9 , "info" : {"a":[1,"}"]},"x":[],"y":{},"z":null}`))
	f.Add([]byte(` { "\u0061\"" : "\\" , "b":[{"c":"]"}, 2],"":true}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`[{"a":1}]`))
	f.Add([]byte(`{"a"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !utf8.Valid(data) {
			return // the callers refuse it earlier
		}
		got := make(map[string]json.RawMessage)
		is := jsontext.Fields(data, func(name, value []byte) { got[string(name)] = value })
		var want map[string]json.RawMessage
		if json.Unmarshal(data, &want) != nil || want == nil || broker.NestedIn(data, 1) {
			if is {
				t.Fatalf("%q is no object", data)
			}
			return
		}
		if !is || len(got) != len(want) {
			t.Fatalf("%q has %d fields, want %d (it is an object: %v)", data, len(got), len(want), is)
		}
		for name, value := range want {
			if !bytes.Equal(got[name], value) {
				t.Errorf("%q: %q is %q, want %q", data, name, got[name], value)
			}
		}
	})
}
