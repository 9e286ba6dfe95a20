package transport

import (
	"fmt"
	"strings"
	"testing"

	"tidegate/gateway"
)

// A channel's name may have any length from 1 to 255 bytes.
func TestNotices_CarryChannelsOfEveryLength(t *testing.T) {
	n := startNode(t, gateway.Config{})
	for _, length := range []int{1, 127, 128, 252, 253, 254, 255} {
		channel := strings.Repeat("x", length)
		l := n.listen("channel=" + channel)
		l.expectID()
		cursor := n.poll("channel=" + channel).Cursor
		payload := fmt.Sprintf(`{"length":%d}`, length)
		n.publish(channel, payload)
		l.expect(data("%s", payload))
		if got := n.poll("channel=" + channel + "&cursor=" + cursor); fmt.Sprint(got.data()) != "["+payload+"]" {
			t.Errorf("a channel of %d bytes: polled %s, want %s", length, got.body, payload)
		}
	}
}
