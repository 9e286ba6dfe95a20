package gateway

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestPrincipal_IsZeroLooksAtEveryField(t *testing.T) {
	values := map[string]any{
		"User": "alice", "Info": json.RawMessage("1"), "Key": "shop", "Expires": time.Now(),
		"Subscribe": []string{"a"}, "Publish": []string{"a"}, "Channels": []string{"a"},
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
