package centrifuge_test

import (
	"encoding/binary"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"tidegate/gateway/centrifuge"
	"tidegate/gateway/centrifuge/internal/wire"
)

// connectProtobuf is like connectJSON, for the other format.
func connectProtobuf(t *testing.T, n *node) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), n.url+"/connection/websocket", &websocket.DialOptions{Subprotocols: []string{centrifuge.SubprotocolProtobuf}})
	must(t, err)
	t.Cleanup(func() { _ = c.CloseNow() }) // it may be closed
	if c.Subprotocol() != centrifuge.SubprotocolProtobuf {
		t.Fatalf("the subprotocol is %q", c.Subprotocol())
	}
	must(t, c.Write(t.Context(), websocket.MessageBinary, delimited(t, &wire.Command{Id: 1, Connect: &wire.ConnectRequest{}})))
	hear(t, c, func(frame []byte) bool { return replyIn(frame).GetConnect() != nil })
	return c
}

func listenProtobuf(t *testing.T, n *node, channel string) listener {
	t.Helper()
	c := connectProtobuf(t, n)
	subscribe := delimited(t, &wire.Command{Id: 2, Subscribe: &wire.SubscribeRequest{Channel: channel}})
	must(t, c.Write(t.Context(), websocket.MessageBinary, subscribe))
	hear(t, c, func(frame []byte) bool { return replyIn(frame).GetSubscribe() != nil })
	return passOn(t, c, "Centrifuge, Protobuf", func(frame []byte) string {
		return string(replyIn(frame).GetPush().GetPub().GetData())
	})
}

// replyIn returns the reply in a frame.
func replyIn(frame []byte) *wire.Reply {
	_, size := binary.Uvarint(frame)
	var reply wire.Reply
	_ = proto.Unmarshal(frame[size:], &reply)
	return &reply
}
