package gateway_test

import (
	"testing"

	"tidegate/gateway"
)

// A key may be withdrawn after it has been presented, but before its session exists.
func TestDropKeys_HoldsForWhoHasShownItsKeyAMomentBefore(t *testing.T) {
	n := startNode(t, gateway.Config{Auth: names{}})
	shown := gateway.Principal{Key: "shop", KeySum: 1}
	n.DropKeys(func(p gateway.Principal) bool { return p.KeySum == 2 })
	_, err := n.tryConnect(gateway.Hello{Principal: shown})
	wantCode(t, err, gateway.Unauthenticated)
	n.connect(gateway.Hello{Principal: gateway.Principal{Key: "shop", KeySum: 2}})
	n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
}
