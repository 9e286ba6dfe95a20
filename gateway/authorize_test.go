package gateway

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway/rules"
)

func TestPrincipal_IsZeroLooksAtEveryField(t *testing.T) {
	values := map[string]any{
		"User": "alice", "Info": json.RawMessage("1"), "Elsewhere": json.RawMessage("1"), "Key": "shop", "Expires": time.Now(),
		"Token": TokenInfo{Shown: true}, "Scope": &Scope{}, "Subscribe": []string{"a"}, "Publish": []string{"a"}, "Channels": []string{"a"},
		"Online": true, "Watched": []string{"bob"}, "KeySum": uint64(1),
	}
	if !new(Principal).isZero() {
		t.Error("the zero Principal is not zero")
	}
	for field := range reflect.TypeFor[Principal]().Fields() {
		var p Principal
		reflect.ValueOf(&p).Elem().FieldByName(field.Name).Set(reflect.ValueOf(values[field.Name]))
		if p.isZero() {
			t.Errorf("a Principal with a field %s is zero", field.Name)
		}
	}
}

// There are many channels, so those of one rule share it.
func TestAuthorize_ChannelsShareTheirRule(t *testing.T) {
	g, err := New(Config{Broker: broker.NewMemory(), Rules: rules.List{{Match: "chat:*", Subscribe: rules.Anyone}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = g.Authorize(&Principal{}, ToSubscribe, "chat:lobby") }); n > 0 {
		t.Errorf("%v allocations to look a rule up", n)
	}
}
