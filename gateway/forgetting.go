package gateway

import (
	"context"

	"tidegate/broker"
	"tidegate/gateway/rules"
)

// ClearHistory deletes the messages of a channel's history, on every node. Live subscribers
// do not notice. An error means that it was not done everywhere: for half a minute a node may
// still send these messages to clients that resume.
func (g *Gateway) ClearHistory(ctx context.Context, channel string) error {
	if err := rules.CheckChannel(channel); err != nil {
		return err
	}
	if g.history == nil {
		return failf(NotFound, "no channel keeps history here")
	}
	if err := g.history.Clear(ctx, channel); err != nil {
		return err
	}
	tops, err := g.history.Tops(ctx, []string{channel})
	if err != nil {
		return err
	}
	return askAll(ctx, g.Nodes, forgetHistory, errand{Grant: Grant{Channel: channel, Cursor: tops[0].String()}}, func(any) {})
}

// forgetHere discards what this node buffers of a channel's history, up to a cursor.
func (g *Gateway) forgetHere(channel, cursor string) error {
	cleared, err := broker.ParsePosition(cursor)
	if err != nil {
		return failf(BadRequest, "%v", err)
	}
	g.hub.ForgetHistory(channel, cleared)
	return nil
}
