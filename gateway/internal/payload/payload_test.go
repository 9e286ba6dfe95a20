package payload_test

import (
	"encoding/json"
	"testing"

	"tidegate/broker"
	"tidegate/gateway/internal/payload"
)

func TestFields_CarryEachKind(t *testing.T) {
	for _, test := range []struct {
		payload string
		kind    broker.Kind
		want    string
	}{
		{`{"a":[1]}`, broker.JSON, `{"data":{"a":[1]}}`},
		{"null", broker.JSON, `{"data":null}`},
		{"", broker.Text, `{"text":""}`},
		{"a \"b\"", broker.Text, `{"text":"a \"b\""}`},
		{"", broker.Binary, `{"binary":""}`},
		{"\x00\xff", broker.Binary, `{"binary":"AP8="}`},
	} {
		text, err := json.Marshal(payload.FieldsOf([]byte(test.payload), test.kind))
		if err != nil || string(text) != test.want {
			t.Errorf("%v %q is %s, %v, want %s", test.kind, test.payload, text, err, test.want)
		}
		var fields payload.Fields
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		if got, kind, ok := fields.Payload(); !ok || string(got) != test.payload || kind != test.kind {
			t.Errorf("%s is %v %q, %v, want %v %q", text, kind, got, ok, test.kind, test.payload)
		}
	}
}

func TestFields_OneIsGiven(t *testing.T) {
	for _, text := range []string{`{}`, `{"data":1,"text":"a"}`, `{"text":"a","binary":"AA=="}`, `{"data":1,"text":"a","binary":"AA=="}`, `{"text":null}`} {
		var fields payload.Fields
		if err := json.Unmarshal([]byte(text), &fields); err != nil {
			t.Fatal(err)
		}
		if got, kind, ok := fields.Payload(); ok {
			t.Errorf("%s is %v %q, want none", text, kind, got)
		}
	}
}
