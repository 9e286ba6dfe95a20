package centrifuge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"

	"tidegate/gateway"
	"tidegate/gateway/centrifuge/internal/wire"
)

// answer returns the answer to a method or, if method is empty, the reply to a command.
func (c *call) answer(ctx context.Context, method string, value json.RawMessage) any {
	if method == "" {
		return c.line(ctx, value)
	}
	result, err := c.one(ctx, method, value)
	if err == nil && method == "batch" {
		return result
	}
	return reply("result", result, err)
}

// do executes a method. It ignores unknown fields of the body, but a known option that is
// not supported is an error.
func (c *call) do(ctx context.Context, method string, body []byte) (any, error) {
	switch method {
	case "publish":
		return read(ctx, body, c.publish)
	case "broadcast":
		return read(ctx, body, c.broadcast)
	case "subscribe":
		return read(ctx, body, c.subscribe)
	case "unsubscribe":
		return read(ctx, body, c.unsubscribe)
	case "disconnect":
		return read(ctx, body, c.disconnect)
	case "presence":
		return read(ctx, body, c.presence)
	case "presence_stats":
		return read(ctx, body, c.presenceStats)
	case "history":
		return read(ctx, body, c.history)
	case "history_remove":
		return read(ctx, body, c.historyRemove)
	case "channels":
		return read(ctx, body, c.channels)
	case "info":
		return c.info(ctx)
	case "batch":
		return read(ctx, body, c.batch)
	case "refresh":
		return read(ctx, body, c.refresh)
	}
	return nil, failed(errMethodNotFound, "method not found")
}

// batch executes commands in order. Each is an object with one method's name and its body.
// Once the broker has not confirmed something, or the caller has gone, the rest fail without
// being tried: each might take a second.
func (c *call) batch(ctx context.Context, args struct {
	Commands []map[string]json.RawMessage `json:"commands"`
}) (any, error) {
	if len(args.Commands) > mostCommands {
		return nil, failed(errLimit, "too many commands: at most 1000 are allowed")
	}
	replies := make([]map[string]any, len(args.Commands))
	for i, command := range args.Commands {
		replies[i] = reply("", nil, failed(errBadRequest, "a command names one method"))
		for method, body := range command {
			if len(command) == 1 && method != "batch" && !bytes.Equal(body, []byte("null")) {
				result, err := c.one(ctx, method, body)
				replies[i] = reply(method, result, err)
			}
		}
	}
	return map[string]any{"replies": replies}, nil
}

// line executes a command in the form of older backends.
func (c *call) line(ctx context.Context, command json.RawMessage) map[string]any {
	var of struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(command, &of); err != nil || of.Method == "batch" {
		return reply("", nil, failed(errBadRequest, "a command names one method"))
	}
	if of.Params == nil {
		of.Params = json.RawMessage("{}")
	}
	result, err := c.one(ctx, of.Method, of.Params)
	return reply("result", result, err)
}

// one executes one method or, in a batch, one command of several.
func (c *call) one(ctx context.Context, method string, body []byte) (any, error) {
	if err := cmp.Or(c.away, ctx.Err()); err != nil {
		return nil, err
	}
	result, err := c.do(ctx, method, body)
	return result, c.note(method, err)
}

func failed(code uint32, message string) error { return &wire.Error{Code: code, Message: message} }

// orNotAvailable returns err, or that a channel has no history or presence if err means that.
func orNotAvailable(err error) error {
	if e := gateway.ErrorOf(err); e.Code == gateway.NotFound {
		return failed(errNotAvailable, e.Message)
	}
	return err
}

// reply returns the reply to a method: the result under the given name, or the error.
func reply(name string, result any, err error) map[string]any {
	if err == nil {
		return map[string]any{name: result}
	}
	e, known := errors.AsType[*wire.Error](err)
	if !known {
		of := gateway.ErrorOf(err)
		e = errorOf(ofServer, of.Code, of.Message)
	}
	return map[string]any{"error": map[string]any{"code": e.Code, "message": e.Message}}
}
