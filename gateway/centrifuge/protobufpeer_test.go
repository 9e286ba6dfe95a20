package centrifuge_test

import (
	"encoding/binary"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"tidegate/gateway/centrifuge"
	"tidegate/gateway/centrifuge/internal/wire"
)

func listenProtobuf(t *testing.T, n *node, channel string) listener {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), n.url+"/connection/websocket", &websocket.DialOptions{Subprotocols: []string{centrifuge.SubprotocolProtobuf}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Subprotocol() != centrifuge.SubprotocolProtobuf {
		t.Fatalf("the subprotocol is %q", c.Subprotocol())
	}
	batch := append(delimited(t, &wire.Command{Id: 1, Connect: &wire.ConnectRequest{}}),
		delimited(t, &wire.Command{Id: 2, Subscribe: &wire.SubscribeRequest{Channel: channel}})...)
	if err := c.Write(t.Context(), websocket.MessageBinary, batch); err != nil {
		t.Fatal(err)
	}
	hear(t, c, func(frame []byte) bool { return replyIn(frame).GetSubscribe() != nil })
	return passOn(t, c, "Centrifuge, Protobuf", func(frame []byte) string {
		return string(replyIn(frame).GetPush().GetPub().GetData())
	})
}

// replyIn returns the reply of a frame, which has one.
func replyIn(frame []byte) *wire.Reply {
	_, size := binary.Uvarint(frame)
	var reply wire.Reply
	_ = proto.Unmarshal(frame[size:], &reply)
	return &reply
}
