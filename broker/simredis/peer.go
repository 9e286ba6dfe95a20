package simredis

import (
	"bufio"
	"bytes"
	"fmt"

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

// push returns the RESP header of a push message with the given number of fields.
func (p *peer) push(fields int) string {
	if p.parser.Resp3 {
		return fmt.Sprintf(">%d\r\n", fields)
	}
	return fmt.Sprintf("*%d\r\n", fields)
}
