package broker

import (
	"context"
)

// Put implements Notices.
func (p *memoryPresence) Put(ctx context.Context, by Attendant, list []Notice) ([]bool, error) {
	inLine := make([]bool, len(list))
	err := p.do(ctx, "put notices in line", func() {
		for i, n := range list {
			inLine[i] = true
			line := p.line(n.Line)
			told, key := "told "+n.Line+" "+n.Channel, ""
			if n.Message != nil {
				key = n.Message.Key
			}
			if _, repeated := p.keys.position(told, key, p.now); repeated {
				continue
			}
			if len(line.notices) >= by.roomFor(&n) {
				line.dropped++
				continue
			}
			p.keys.remember(told, key, Position{}, p.now)
			n.Line, n.Sessions = "", 0
			p.append(line, n)
		}
	})
	return inLine, err
}

// Take implements Notices.
func (p *memoryPresence) Take(ctx context.Context, t Teller) (Line, error) {
	var line Line
	err := p.do(ctx, "take notices", func() { line = p.take(t) })
	return line, err
}
