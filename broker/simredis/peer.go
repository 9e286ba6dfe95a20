package simredis

import (
	"bufio"
	"bytes"

	"github.com/alicebob/miniredis/v2/proto"
	miniserver "github.com/alicebob/miniredis/v2/server"
)

// peer is a client's connection to a server.
type peer struct {
	conn          *end
	parser        *miniserver.Peer // writes the replies of miniredis to answer
	answer        bytes.Buffer
	subscriptions int // how many
}

func newPeer(conn *end) *peer {
	p := &peer{conn: conn}
	p.parser = newParser(&p.answer)
	return p
}

func newParser(answer *bytes.Buffer) *miniserver.Peer {
	return miniserver.NewPeer(bufio.NewWriter(answer))
}

// push encodes a push message.
func (p *peer) push(fields ...string) string {
	if p.parser.Resp3 {
		return proto.Push(fields...)
	}
	return proto.Array(fields...)
}
