package gateway

import (
	"context"
	"fmt"

	"tidegate/broker"
)

// ReadHistory returns a page of a channel's history to p.
func (g *Gateway) ReadHistory(ctx context.Context, p *Principal, c History) (HistoryPage, error) {
	return g.readHistory(ctx, p, nil, c)
}

func (g *Gateway) readHistory(ctx context.Context, p *Principal, s *Session, c History) (HistoryPage, error) {
	if err := g.permit(ctx, p, s, ToSubscribe, c.Channel); err != nil {
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
	ctx = context.WithoutCancel(ctx) // the broker goes on with it, so it counts until then
	var page broker.Page
	if after.IsZero() {
		g.metrics.Recovery.HistoryReads.Inc()
		page, err = g.history.Latest(ctx, c.Channel, most)
	} else {
		page, err = g.since(ctx, c.Channel, after, most)
	}
	if err != nil {
		return HistoryPage{}, fmt.Errorf("read the history of %q: %w", c.Channel, err)
	}
	return g.boundPage(HistoryPage{page}, after), nil
}

const maxHistoryPage = 1000

// HistoryPage is a page of history for a client.
type HistoryPage struct{ broker.Page }

// cursor returns where to read on.
func (p HistoryPage) cursor() broker.Position {
	if n := len(p.Messages); n > 0 {
		return p.Messages[n-1].Position
	}
	return p.Top
}

// Cursor returns the cursor to read on from.
func (p HistoryPage) Cursor() string { return p.cursor().String() }

// boundPage keeps of a page what fits into half an outbox: its beginning if it
// is read from a position on, else its end.
func (g *Gateway) boundPage(p HistoryPage, after broker.Position) HistoryPage {
	most := g.limits.OutboxBytes / 2
	if most == 0 {
		return p
	}
	size := func(m *broker.Message) int { return len(m.Payload)*4/3 + frameOverhead }
	kept := 0
	if !after.IsZero() {
		for i := range p.Messages {
			if kept += size(&p.Messages[i]); kept > most && i > 0 {
				p.Messages = p.Messages[:i]
				break
			}
		}
		return p
	}
	for i := len(p.Messages) - 1; i >= 0; i-- {
		if kept += size(&p.Messages[i]); kept > most && i < len(p.Messages)-1 {
			p.Messages = p.Messages[i+1:]
			break
		}
	}
	return p
}
