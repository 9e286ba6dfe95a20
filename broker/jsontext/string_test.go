package jsontext_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"tidegate/broker/jsontext"
)

// FuzzAppendString decodes each string with encoding/json and compares the result.
func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("a\"b\\c\n\x00\x7f\u2028\u20ac\U0001f30a")
	f.Add("\xff\xed\xa0\x80")
	f.Fuzz(func(t *testing.T, s string) {
		written := jsontext.AppendString(nil, s)
		var read string
		if err := json.Unmarshal(written, &read); err != nil || !utf8.Valid(written) {
			t.Fatalf("%q is not JSON: %v", written, err)
		}
		if want := string([]rune(s)); read != want { // U+FFFD for each byte that is not UTF-8
			t.Errorf("%q was read as %q, want %q", written, read, want)
		}
		if got := jsontext.AppendString(nil, []byte(s)); string(got) != string(written) {
			t.Errorf("as bytes it is %q, want %q", got, written)
		}
	})
}
