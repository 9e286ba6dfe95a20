package gateway

import (
	"context"
	"fmt"
	"slices"

	"tidegate/broker"
	"tidegate/gateway/internal/hub"
	"tidegate/gateway/rules"
)

// ReadHistory returns a page of a channel's history, if p may read it.
func (g *Gateway) ReadHistory(ctx context.Context, p *Principal, c History) (HistoryPage, error) {
	return g.readHistory(ctx, p, nil, c)
}

func (g *Gateway) readHistory(ctx context.Context, p *Principal, s *Session, c History) (HistoryPage, error) {
	if err := g.permit(ctx, p, s, c.Channel); err != nil {
		return HistoryPage{}, err
	}
	after, err := broker.ParsePosition(c.Cursor)
	if err != nil {
		return HistoryPage{}, failf(BadRequest, "%v", err)
	}
	if g.history == nil || !g.rule(c.Channel).KeepsHistory() {
		return HistoryPage{}, failf(NotFound, "%q keeps no history", c.Channel)
	}
	limit := c.Limit
	if limit <= 0 || limit > maxHistoryPage {
		limit = maxHistoryPage
	}
	most := broker.Most{Messages: limit, Bytes: g.limits.OutboxBytes / 2}
	ctx = context.WithoutCancel(ctx) // the broker continues anyway, so the read counts until it is done
	page, err := g.readPage(ctx, c, after, most)
	if err != nil {
		return HistoryPage{}, fmt.Errorf("read the history of %q: %w", c.Channel, err)
	}
	fromStart := c.Oldest || !after.IsZero() && !c.Before
	unknown := page.Lost && !after.IsZero() && after.Epoch != page.Top.Epoch
	return g.boundPage(HistoryPage{page, unknown}, fromStart), nil
}

const maxHistoryPage = 1000

func (g *Gateway) readPage(ctx context.Context, c History, at broker.Position, most broker.Most) (broker.Page, error) {
	switch {
	case at.IsZero() && !c.Oldest:
		g.metrics.Recovery.HistoryReads.Inc()
		return g.history.Latest(ctx, c.Channel, most)
	case !at.IsZero() && c.Before:
		return g.before(ctx, c.Channel, at, most)
	}
	return g.hub.Read(ctx, c.Channel, at, most)
}

// before reads the newest messages before a position. Offsets are contiguous, so it knows
// where to begin; if the messages are too large to fit, it tries again with fewer.
func (g *Gateway) before(ctx context.Context, channel string, end broker.Position, most broker.Most) (broker.Page, error) {
	for {
		n := min(uint64(most.Messages), max(end.Offset, 1)-1)
		begin := broker.Position{Epoch: end.Epoch, Offset: max(end.Offset, 1) - 1 - n}
		page, err := g.hub.Read(ctx, channel, begin, broker.Most{Messages: int(max(n, 1)), Bytes: most.Bytes})
		if err != nil || page.Top.Epoch != end.Epoch {
			return page, err
		}
		if end.Offset > page.Top.Offset+1 {
			end = broker.Position{Epoch: end.Epoch, Offset: page.Top.Offset + 1}
			continue
		}
		page.Lost = false
		if late := slices.IndexFunc(page.Messages, func(m broker.Message) bool { return m.Position.Offset >= end.Offset }); late >= 0 {
			page.Messages = page.Messages[:late]
		}
		read := len(page.Messages)
		if n <= 1 || read == 0 || page.Messages[read-1].Position.Offset+1 == end.Offset {
			return page, nil
		}
		most.Messages = int(n / 2)
	}
}

// HistoryPage is a page of history for a client.
type HistoryPage struct {
	broker.Page
	Unknown bool // as in Messages
}

// cursor returns the position to continue reading from.
func (p HistoryPage) cursor() broker.Position {
	if n := len(p.Messages); n > 0 {
		return p.Messages[n-1].Position
	}
	return p.Top
}

// Cursor returns the cursor to continue reading from.
func (p HistoryPage) Cursor() string { return p.cursor().String() }

// boundPage cuts a page to what fits into half an outbox. It keeps the beginning if the page
// was read from there, else the end.
func (g *Gateway) boundPage(p HistoryPage, fromStart bool) HistoryPage {
	most := g.limits.OutboxBytes / 2
	if most == 0 {
		return p
	}
	order := slices.All(p.Messages)
	if !fromStart {
		order = slices.Backward(p.Messages)
	}
	size, fit := 0, 0
	for _, m := range order {
		if size += len(m.Payload)*4/3 + hub.FrameOverhead; size > most && fit > 0 {
			break
		}
		fit++
	}
	if fromStart {
		p.Messages = p.Messages[:fit]
	} else {
		p.Messages = p.Messages[len(p.Messages)-fit:]
	}
	return p
}

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
