//go:build !lockorder

package gateway

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/rates"
)

// The memory of an idle session and of each of its subscriptions, field by field: a node has a
// hundred thousand sessions. If a struct needs more, think twice, then raise the bound here.
func TestSession_OwnsLittle(t *testing.T) {
	for _, owned := range []struct {
		of   reflect.Type
		most uintptr // bytes
	}{
		{reflect.TypeFor[Session](), 384},
		{reflect.TypeFor[outbox.Outbox](), 128}, // part of the session
		{reflect.TypeFor[rates.Bucket](), 80},
		{reflect.TypeFor[subscription](), 80}, // includes the hub's part
		{reflect.TypeFor[hub.Channel](), 128},
	} {
		if size := owned.of.Size(); size > owned.most {
			t.Errorf("%v has %d bytes, at most %d are wanted:\n%s", owned.of, size, owned.most, fieldsOf(owned.of))
		}
	}
}

// fieldsOf lists the fields of a struct with their sizes.
func fieldsOf(of reflect.Type) string {
	var list strings.Builder
	for field := range of.Fields() {
		fmt.Fprintf(&list, "%6d  %s %v\n", field.Type.Size(), field.Name, field.Type)
	}
	return list.String()
}
