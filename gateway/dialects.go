package gateway

import "sync"

// dialects are the protocols in use, each resolved once.
type dialects struct {
	mu sync.Mutex
	by map[Protocol]*dialect
}

func (d *dialects) of(g *Gateway, p Protocol) *dialect {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.by[p]; known != nil {
		return known
	}
	heartbeat, err := p.Encode(Heartbeat{})
	if err != nil {
		heartbeat = Frame{}
	}
	made := &dialect{protocol: p, delivered: g.metrics.Messages.Delivered(p.Name()), heartbeat: heartbeat.Data}
	if d.by == nil {
		d.by = make(map[Protocol]*dialect)
	}
	d.by[p] = made
	return made
}
