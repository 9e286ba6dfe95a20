package broker_test

import (
	"io"
	"net"
	"testing"

	"tidegate/broker/brokertest"
)

// What a fault holds back arrives when all is mended, also if another fault has blocked the way
// meanwhile.
func TestWay_BlockedTwiceHoldsNothingBackOnceMended(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	way := brokertest.LayWay(t, l.Addr().String())
	near, err := net.Dial("tcp", way.Addr)
	must(t, err)
	defer near.Close()
	far, err := l.Accept()
	must(t, err)
	defer far.Close()
	way.Block()
	_, err = near.Write([]byte("a"))
	must(t, err)
	way.BlockBoth()
	way.Mend()
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}
