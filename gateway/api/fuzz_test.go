package api_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/api"
)

func FuzzKindOf(f *testing.F) {
	f.Add("application/json", []byte(`{"a":1}`))
	f.Add("", []byte("\xff"))
	f.Add("text/plain; charset=utf-8", []byte("hi"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		kind, err := api.KindOf(contentType, body)
		if err == nil {
			checkKind(t, kind, body)
		} else if gateway.ErrorOf(err).Code != gateway.BadRequest {
			t.Errorf("%q: %v", contentType, err)
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add([]byte(`[{"channels":["a","b"],"data":{"x":1},"event":"e","key":"k"},{"channels":["a"],"binary":"AA=="}]`))
	f.Add([]byte(`[{"channels":["a"],"text":"\ud800"}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		publishes, err := api.ParseBatch(bytes.NewReader(body))
		if err != nil && len(publishes) > 0 {
			t.Errorf("%d publishes of a body that is refused: %v", len(publishes), err)
		}
		for _, publish := range publishes {
			checkKind(t, publish.Kind, publish.Payload)
		}
	})
}

func checkKind(t *testing.T, kind broker.Kind, payload []byte) {
	t.Helper()
	switch {
	case kind == broker.JSON && (!json.Valid(payload) || !utf8.Valid(payload)):
		t.Errorf("%q is taken for JSON", payload)
	case kind == broker.Text && !utf8.Valid(payload):
		t.Errorf("%q is taken for text", payload)
	}
}
