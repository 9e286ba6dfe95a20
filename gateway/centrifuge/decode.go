package centrifuge

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/proto"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/centrifuge/internal/wire"
)

func badRequest(text string) error { return gateway.ProtocolError.With(text) }

// decodeProtobuf parses commands, each prefixed by its length.
func decodeProtobuf(data []byte) (commands []gateway.Command, err error) {
	for n := 1; len(data) > 0; n++ {
		length, size := binary.Uvarint(data)
		if size <= 0 || length > uint64(len(data)-size) {
			return nil, badRequest("a command does not have the length that it says")
		}
		var c wire.Command
		if err := proto.Unmarshal(data[size:][:length], &c); err != nil {
			return nil, badRequest("a frame is no Protobuf command")
		}
		data = data[size+int(length):]
		if commands, err = appendCommand(commands, &c, Protobuf); err != nil {
			return nil, err
		}
		if err = checkBatch(n, len(commands)); err != nil {
			return nil, err
		}
	}
	return commands, nil
}

// mostPongs is the largest number of pongs in one frame. A frame of pongs alone costs as much as
// one command, however many there are, and each takes only a byte or two.
const mostPongs = 8

// checkBatch returns an error if a frame has too many parts, of which so many are commands.
func checkBatch(parts, commands int) error {
	switch {
	case commands > mostCommands:
		return badRequest(fmt.Sprintf("a frame has more than %d commands in it", mostCommands))
	case parts-commands > mostPongs:
		return badRequest("a frame has more pongs in it than there were pings")
	}
	return nil
}

// appendCommand appends the gateway command for c. It appends nothing for a pong, or for a
// send, which has no receiver here.
func appendCommand(commands []gateway.Command, c *wire.Command, f Format) ([]gateway.Command, error) {
	command := commandOf(c, f)
	switch {
	case c.Send != nil, command == nil && c.Id == 0:
		return commands, nil
	case command == nil:
		return nil, badRequest("a command asks for nothing that is known")
	case c.Id == 0:
		return nil, badRequest("a command has no id")
	}
	return append(commands, command), nil
}

func commandOf(c *wire.Command, f Format) gateway.Command {
	switch {
	case c.Connect != nil:
		return connectOf(c.Id, c.Connect)
	case c.Subscribe != nil:
		return subscribeOf(c.Id, c.Subscribe)
	case c.Unsubscribe != nil:
		return gateway.Unsubscribe{ID: ofUnsubscribe.of(c.Id).id(), Channel: c.Unsubscribe.Channel}
	case c.Publish != nil:
		return publishOf(c.Id, c.Publish, f)
	case c.Presence != nil:
		return gateway.Presence{ID: ofPresence.of(c.Id).id(), Channel: c.Presence.Channel}
	case c.PresenceStats != nil:
		return gateway.Presence{ID: ofPresenceStats.of(c.Id).id(), Channel: c.PresenceStats.Channel}
	case c.History != nil:
		return historyOf(c.Id, c.History)
	case c.Ping != nil:
		return gateway.Ping{ID: ofPing.of(c.Id).id()}
	case c.Refresh != nil:
		return gateway.Auth{ID: ofRefresh.of(c.Id).id(), Token: c.Refresh.Token}
	case c.Rpc != nil:
		return callOf(c.Id, c.Rpc, f)
	case c.SubRefresh != nil:
		return gateway.Renew{ID: ofSubRefresh.of(c.Id).id(), Channel: c.SubRefresh.Channel, Token: c.SubRefresh.Token}
	}
	return nil
}

// connectOf includes the positions of a returning client on its server-side channels.
func connectOf(id uint32, r *wire.ConnectRequest) gateway.Command {
	c := gateway.Auth{ID: ofConnect.of(id).id(), Token: r.Token, Data: string(r.Data)}
	for channel, sub := range r.Subs {
		cursor, _ := cursorOf(sub.GetEpoch(), sub.GetOffset())
		if !sub.GetRecover() || cursor == "" {
			continue
		}
		if c.Cursors == nil {
			c.Cursors = make(map[string]string, len(r.Subs))
		}
		c.Cursors[channel] = cursor
	}
	return c
}

func subscribeOf(id uint32, r *wire.SubscribeRequest) gateway.Command {
	t := ofSubscribe.of(id)
	switch {
	case r.Type != 0:
		return gateway.Malformed{ID: t.id(), Reason: "this type of subscription is not known here"}
	case r.Tf != nil:
		return gateway.Malformed{ID: t.id(), Reason: "publications are not filtered by tags here"}
	}
	c := gateway.Subscribe{Channel: r.Channel, Token: r.Token, Data: string(r.Data)}
	if r.Recover {
		t |= recovers
		c.Cursor, c.Recent = cursorOf(r.Epoch, r.Offset)
		c.Whole = r.Flag&rejectUnrecovered != 0
	}
	if c.Deltas = r.Delta == deltaFormat; c.Deltas {
		t |= withDeltas
	}
	c.ID = t.id()
	return c
}

// rejectUnrecovered is the flag of a subscribe that fails if it cannot recover.
const rejectUnrecovered = 2

// deltaFormat is the only delta format that is supported.
const deltaFormat = "fossil"

// cursorOf returns the cursor of a client's position. If the client has no position, it
// returns 1, the number of recent messages to send instead.
func cursorOf(epoch string, offset uint64) (cursor string, recent int) {
	if epoch == "" && offset == 0 {
		return "", 1
	}
	cursor = epoch + ":" + strconv.FormatUint(offset, 10)
	if _, err := broker.ParsePosition(cursor); err != nil {
		cursor = elsewhere
	}
	return cursor, 0
}

// elsewhere is the cursor of a client that comes from another server. No channel has its
// epoch, so the client learns that it cannot recover.
const elsewhere = "0:0"

func publishOf(id uint32, r *wire.PublishRequest, f Format) gateway.Command {
	t := ofPublish.of(id)
	switch {
	case r.Type != 0:
		return gateway.Malformed{ID: t.id(), Reason: "this type of publish is not known here"}
	case r.Data == nil && f == JSON:
		return gateway.Malformed{ID: t.id(), Reason: "data is missing"}
	}
	kind := broker.JSON
	if f == Protobuf {
		kind = broker.KindOf(r.Data)
	}
	return gateway.Publish{ID: t.id(), Channel: r.Channel, Payload: append([]byte{}, r.Data...), Kind: kind}
}

func callOf(id uint32, r *wire.RPCRequest, f Format) gateway.Command {
	c := gateway.Call{ID: ofRPC.of(id).id(), Method: r.Method, Payload: append([]byte{}, r.Data...), Kind: broker.JSON}
	switch {
	case f == Protobuf:
		c.Kind = broker.KindOf(c.Payload)
	case r.Data == nil:
		c.Payload = []byte("null")
	}
	return c
}

func historyOf(id uint32, r *wire.HistoryRequest) gateway.Command {
	of := ofHistory
	switch {
	case r.Limit == 0:
		of = ofHistoryPosition
	case r.Reverse && r.Since != nil && r.Since.Offset == 0:
		return gateway.Malformed{ID: of.of(id).id(), Reason: nothingBefore}
	case r.Reverse:
		of = ofHistoryReverse
	}
	c := historyFrom(r.Channel, int(r.Limit), r.Since, r.Reverse)
	c.ID = of.of(id).id()
	return c
}

const nothingBefore = "there is nothing before the offset 0"

// historyFrom returns the command that reads a channel's history. With a limit of 0 only
// the position is wanted.
func historyFrom(channel string, limit int, since *wire.StreamPosition, reverse bool) gateway.History {
	c := gateway.History{Channel: channel, Limit: max(0, min(limit, math.MaxInt32)), Before: reverse, Oldest: !reverse}
	if limit == 0 {
		c.Limit = 1
	}
	if since.GetEpoch() != "" || since.GetOffset() != 0 {
		c.Cursor, _ = cursorOf(since.Epoch, since.Offset)
		c.Oldest = false
	}
	return c
}
