package centrifuge

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/centrifuge/internal/wire"
)

var nested = fmt.Sprintf("the JSON is nested too deep: at most %d levels are allowed", broker.MostNested)

// decodeConnect parses the connect request of a one-way client, which sends nothing else.
// If it sends another, that may renew its token.
func decodeConnect(data []byte) ([]gateway.Command, error) {
	r := &wire.ConnectRequest{}
	if len(bytes.TrimSpace(data)) > 0 {
		if broker.NestedIn(data, 1) {
			return nil, badRequest(nested)
		}
		if err := json.Unmarshal(data, r); err != nil {
			return nil, badRequest("what was sent is no connect request in JSON")
		}
	}
	return []gateway.Command{connectOf(0, r)}, nil
}

// decodeJSON parses commands, one per line.
func decodeJSON(data []byte) (commands []gateway.Command, err error) {
	decoder, read := json.NewDecoder(bytes.NewReader(data)), int64(0)
	for n := 1; ; n++ {
		var c *wire.Command
		switch err := decoder.Decode(&c); {
		case err == io.EOF:
			return commands, nil
		case err != nil || c == nil:
			return nil, badRequest("a line is no command in JSON")
		}
		line := data[read:decoder.InputOffset()]
		read = decoder.InputOffset()
		if !broker.NestedIn(line, 2) { // the payload of a command is two levels deep: {"publish": {"data": ...}}
			commands, err = appendCommand(commands, c, JSON)
		} else if commands = append(commands, gateway.Malformed{ID: request(0).of(c.Id).id(), Reason: nested}); c.Id == 0 {
			err = badRequest(nested)
		}
		if err = cmp.Or(err, checkBatch(n, len(commands))); err != nil {
			return nil, err
		}
	}
}
