package gateway

import (
	"context"
	"errors"
	"sync/atomic"

	"tidegate/broker"

	"golang.org/x/sync/errgroup"
)

// Outcome is what Publish returns.
type Outcome struct {
	Position broker.Position
	Err      error
}

const publishers = 16 // concurrent publishes of one PublishAll

// PublishAll publishes messages on behalf of p, whose request comes from the given address,
// and charges both for each. It publishes the messages of one channel in order, and different
// channels concurrently. It returns the outcomes in the order of the list. Once the broker
// has not confirmed a message, the rest have the same outcome without being tried: each would
// take a second, and the order within its channel could change.
func (g *Gateway) PublishAll(ctx context.Context, p *Principal, remote string, list []Publish) []Outcome {
	outcomes := make([]Outcome, len(list))
	var away atomic.Pointer[Outcome]
	publish := func(i int) Outcome {
		if o := away.Load(); o != nil {
			return *o
		}
		if err := g.Budget.Spend(p, remote, g.PublishCost(&list[i])); err != nil {
			return Outcome{Err: err}
		}
		position, err := g.Publish(ctx, p, list[i])
		if errors.Is(err, broker.ErrUnavailable) {
			away.Store(&Outcome{Err: err})
		}
		return Outcome{position, err}
	}
	var lines errgroup.Group
	lines.SetLimit(publishers)
	for _, line := range byChannel(list) {
		lines.Go(func() error {
			for _, i := range line {
				outcomes[i] = Outcome{Err: Failed} // if it panics, and for those after it
			}
			g.wall.Do("publish many messages", func() {
				for _, i := range line {
					outcomes[i] = publish(i)
				}
			})
			return nil
		})
	}
	_ = lines.Wait()
	return outcomes
}

// byChannel returns the indexes of each channel's publishes. Channels are ordered by their
// first publish.
func byChannel(list []Publish) (lines [][]int) {
	place := make(map[string]int)
	for i := range list {
		at, ok := place[list[i].Channel]
		if !ok {
			at = len(lines)
			place[list[i].Channel] = at
			lines = append(lines, nil)
		}
		lines[at] = append(lines[at], i)
	}
	return lines
}
