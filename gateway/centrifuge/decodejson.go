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
		var asked jsonConnect
		if broker.NestedIn(data, 1) {
			return nil, badRequest(nested)
		}
		if err := json.Unmarshal(data, &asked); err != nil {
			return nil, badRequest("what was sent is no connect request in JSON")
		}
		r = asked.wire()
	}
	return []gateway.Command{connectOf(0, r)}, nil
}

// jsonCommand is wire.Command in JSON, where a field of bytes may be any value.
type jsonCommand struct {
	ID        uint32       `json:"id"`
	Connect   *jsonConnect `json:"connect"`
	Subscribe *struct {
		Channel string          `json:"channel"`
		Token   string          `json:"token"`
		Recover bool            `json:"recover"`
		Epoch   string          `json:"epoch"`
		Offset  uint64          `json:"offset"`
		Data    json.RawMessage `json:"data"`
		Delta   string          `json:"delta"`
		Tf      *struct{}       `json:"tf"`
		Flag    int64           `json:"flag"`
		Type    int32           `json:"type"`
	} `json:"subscribe"`
	Unsubscribe *wire.ChannelRequest `json:"unsubscribe"`
	Publish     *struct {
		Channel string          `json:"channel"`
		Data    json.RawMessage `json:"data"`
		Type    int32           `json:"type"`
	} `json:"publish"`
	Presence      *wire.ChannelRequest `json:"presence"`
	PresenceStats *wire.ChannelRequest `json:"presence_stats"`
	History       *wire.HistoryRequest `json:"history"`
	Ping          *struct{}            `json:"ping"`
	Send          *struct{}            `json:"send"`
	RPC           *struct {
		Method string          `json:"method"`
		Data   json.RawMessage `json:"data"`
	} `json:"rpc"`
	Refresh    *wire.RefreshRequest    `json:"refresh"`
	SubRefresh *wire.SubRefreshRequest `json:"sub_refresh"`
}

type jsonConnect struct {
	Token string                            `json:"token"`
	Data  json.RawMessage                   `json:"data"`
	Subs  map[string]*wire.SubscribeRequest `json:"subs"`
}

func (r *jsonConnect) wire() *wire.ConnectRequest {
	return &wire.ConnectRequest{Token: r.Token, Data: r.Data, Subs: r.Subs}
}

// decodeJSON parses commands, one per line.
func decodeJSON(data []byte) (commands []gateway.Command, err error) {
	decoder, read := json.NewDecoder(bytes.NewReader(data)), int64(0)
	for n := 1; ; n++ {
		var c *jsonCommand
		switch err := decoder.Decode(&c); {
		case err == io.EOF:
			return commands, nil
		case err != nil || c == nil:
			return nil, badRequest("a line is no command in JSON")
		}
		line := data[read:decoder.InputOffset()]
		read = decoder.InputOffset()
		if !broker.NestedIn(line, 2) { // the payload of a command is two levels deep: {"publish": {"data": ...}}
			commands, err = appendCommand(commands, c.wire(), JSON)
		} else if commands = append(commands, gateway.Malformed{ID: request(0).of(c.ID).id(), Reason: nested}); c.ID == 0 {
			err = badRequest(nested)
		}
		if err = cmp.Or(err, checkBatch(n, len(commands))); err != nil {
			return nil, err
		}
	}
}

func (c *jsonCommand) wire() *wire.Command {
	w := &wire.Command{
		Id: c.ID, Unsubscribe: c.Unsubscribe, Presence: c.Presence, PresenceStats: c.PresenceStats,
		History: c.History, Refresh: c.Refresh, SubRefresh: c.SubRefresh,
	}
	if r := c.Connect; r != nil {
		w.Connect = r.wire()
	}
	if r := c.Subscribe; r != nil {
		w.Subscribe = &wire.SubscribeRequest{
			Channel: r.Channel, Token: r.Token, Recover: r.Recover, Epoch: r.Epoch, Offset: r.Offset,
			Data: r.Data, Delta: r.Delta, Flag: r.Flag, Type: r.Type,
		}
		if r.Tf != nil {
			w.Subscribe.Tf = &wire.Empty{}
		}
	}
	if r := c.Publish; r != nil {
		w.Publish = &wire.PublishRequest{Channel: r.Channel, Data: r.Data, Type: r.Type}
	}
	if r := c.RPC; r != nil {
		w.Rpc = &wire.RPCRequest{Method: r.Method, Data: r.Data}
	}
	if c.Ping != nil {
		w.Ping = &wire.Empty{}
	}
	if c.Send != nil {
		w.Send = &wire.Empty{}
	}
	return w
}
