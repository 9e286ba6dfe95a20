package broker

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"tidegate/broker/lock"
)

// Attend implements Presence.
func (p *memoryPresence) Attend(ctx context.Context, by Attendant, list []Attendance) ([]bool, error) {
	taken := make([]bool, len(list))
	err := p.do(ctx, "attend", func() {
		node := p.meet(by, list[0].Version)
		if list[0].Version <= node.last {
			return
		}
		for i := range list {
			taken[i] = p.attend(by, node, &list[i])
		}
		p.renew(by, node)
	})
	return taken, err
}

// Keep implements Presence.
func (p *memoryPresence) Keep(ctx context.Context, by Attendant, version uint64) (Standing, error) {
	var standing Standing
	err := p.do(ctx, "keep", func() {
		node := p.meet(by, version)
		p.reap(by)
		node.last = version
		p.renew(by, node)
		p.forgetLines()
		since := node.since
		standing = Standing{Since: func(string) uint64 { return since }, Forgot: since, Next: p.endLingers(by)}
	})
	return standing, err
}

// Attended implements Presence.
func (p *memoryPresence) Attended(ctx context.Context, by Attendant) ([]string, error) {
	var channels []string
	err := p.do(ctx, "read where a node is in", func() {
		for name, c := range p.channels {
			if _, here := c.nodes[by.Node]; here {
				channels = append(channels, name)
			}
		}
	})
	return channels, err
}

// Look implements Presence.
func (p *memoryPresence) Look(ctx context.Context, channels []string) (map[string]Position, error) {
	newest := make(map[string]Position, len(channels))
	err := p.do(ctx, "look at", func() {
		for _, name := range channels {
			newest[name] = Position{}
			if c := p.channels[name]; c != nil {
				newest[name] = c.position
			}
		}
	})
	return newest, err
}

// Members implements Presence.
func (p *memoryPresence) Members(ctx context.Context, channel string) (Roster, error) {
	var roster Roster
	err := p.do(ctx, "members of", func() {
		c := p.channels[channel]
		if c == nil {
			return
		}
		roster.Position, roster.Sessions = c.position, c.sessions()
		for _, m := range c.members {
			roster.Members = append(roster.Members, m.sum())
		}
		slices.SortFunc(roster.Members, byName)
	})
	return roster, err
}

// do calls f with mu held and p.now fixed. The messages that f publishes are delivered
// before those of any later call.
func (p *memoryPresence) do(ctx context.Context, verb string, f func()) error {
	if err := p.messages.running(ctx, verb, "presence"); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = time.Now()
	f()
	for _, m := range p.published {
		p.messages.receive(m)
	}
	p.published = nil
	return nil
}

// memoryPresence implements Presence for Memory.
type memoryPresence struct {
	messages *memoryChannels
	keys     *memoryKeys

	// Guarded by mu.
	mu lock.Mutex[lock.MemoryPresence]
	memoryLines
	nodes     map[string]*memoryNode
	channels  map[string]*memoryRoom
	lingering map[memoryLinger]time.Time
}

type memoryNode struct {
	ends        time.Time
	lease       time.Duration
	since, last uint64 // versions of attendances: the first known one, and the last
	spared      bool   // it has been given more time
}

// memoryLinger identifies what lingers: a member, or the channel itself.
type memoryLinger struct{ channel, member string }

const channelItself = "~" // sorts after all members

func newMemoryPresence(messages *memoryChannels, keys *memoryKeys) *memoryPresence {
	return &memoryPresence{
		messages: messages, keys: keys, memoryLines: memoryLines{lines: make(map[string]*memoryLine)},
		nodes: make(map[string]*memoryNode), channels: make(map[string]*memoryRoom),
		lingering: make(map[memoryLinger]time.Time),
	}
}

func (p *memoryPresence) meet(by Attendant, version uint64) *memoryNode {
	node := p.nodes[by.Node]
	if node == nil {
		node = &memoryNode{since: version, last: version - 1}
		p.nodes[by.Node] = node
	}
	return node
}

// renew records a sign of life.
func (p *memoryPresence) renew(by Attendant, node *memoryNode) {
	node.ends, node.lease, node.spared = p.now.Add(by.Lease), by.Lease, false
}

// late reports whether a node has missed signs of life.
func (p *memoryPresence) late(node *memoryNode) bool { return node.ends.Sub(p.now) < node.lease/2 }

func (p *memoryPresence) attend(by Attendant, node *memoryNode, a *Attendance) (taken bool) {
	c := p.room(a.Channel)
	defer p.forget(c)
	had := c.nodes[by.Node]
	switch forgot := had.version > 0 && had.version < node.since; {
	case a.Whole:
	case a.AtLeast && (had.version < a.After || a.After > 0 && forgot), !a.AtLeast && (had.version != a.After || forgot):
		return false
	}
	node.last = a.Version
	p.count(by, c, a.Sessions, a.Version)
	p.tellCount(by, c, had.sessions, a.Sessions)
	listed := make(map[string]bool)
	for i := range a.Members {
		m := &a.Members[i]
		listed[m.field()] = true
		if m.Sessions > 0 {
			p.enter(by, c, m)
		} else {
			p.exit(by, c, m)
		}
	}
	for field := range c.members {
		if (a.Whole || a.Sessions == 0) && !listed[field] {
			p.exit(by, c, memberOf(field))
		}
	}
	if had.sessions > 0 && a.Sessions == 0 {
		p.vacate(by, c)
	}
	return true
}

// room returns the channel with a name, and creates it if necessary.
func (p *memoryPresence) room(name string) *memoryRoom {
	c := p.channels[name]
	if c == nil {
		c = &memoryRoom{
			name: name, position: Position{Epoch: newEpoch()},
			nodes: make(map[string]memoryStay), members: make(map[string]*memoryMember),
		}
		p.channels[name] = c
	}
	return c
}

// forget removes the channel if nobody is there.
func (p *memoryPresence) forget(c *memoryRoom) {
	if len(c.nodes) == 0 && len(c.members) == 0 && !c.vacates {
		delete(p.channels, c.name)
	}
}

// count records how many sessions the node has on a channel.
func (p *memoryPresence) count(by Attendant, c *memoryRoom, sessions int, version uint64) {
	if sessions == 0 {
		delete(c.nodes, by.Node)
		return
	}
	first := len(c.nodes) == 0
	c.nodes[by.Node] = memoryStay{sessions, version}
	switch {
	case first && c.vacates:
		c.vacates = false
		delete(p.lingering, memoryLinger{c.name, channelItself})
	case first:
		p.notify(by, c, "c", NoticeOccupied, Member{})
	}
}

// vacate is called when a node has left a channel. If it was the last one, the channel
// lingers or is vacated.
func (p *memoryPresence) vacate(by Attendant, c *memoryRoom) {
	switch {
	case len(c.nodes) > 0:
	case by.Linger > 0 && !IsSessionsChannel(c.name):
		c.vacates = true
		p.lingering[memoryLinger{c.name, channelItself}] = p.now.Add(by.Linger)
	default:
		p.notify(by, c, "c", NoticeVacated, Member{})
	}
}

func (p *memoryPresence) enter(by Attendant, c *memoryRoom, m *Member) {
	field := m.field()
	known := c.members[field]
	if known == nil {
		known = &memoryMember{Member: *m, nodes: make(map[string]int)}
		c.members[field] = known
		p.postNotice(by, c, EventJoin, known)
	}
	delete(p.lingering, memoryLinger{c.name, field})
	known.User, known.Info, known.Elsewhere, known.nodes[by.Node] = m.User, m.Info, m.Elsewhere, m.Sessions
}

// exit records that the node has no session of a member any more. On a SessionsChannel it
// announces the end even of a session that was too short to be known.
func (p *memoryPresence) exit(by Attendant, c *memoryRoom, gone *Member) {
	field := gone.field()
	m := c.members[field]
	if m == nil || m.nodes[by.Node] == 0 {
		if IsSessionsChannel(c.name) && gone.Info != nil {
			p.postNotice(by, c, EventLeave, &memoryMember{Member: *gone})
		}
		return
	}
	delete(m.nodes, by.Node)
	if gone.Info != nil {
		m.Info, m.Elsewhere = gone.Info, gone.Elsewhere
	}
	switch {
	case len(m.nodes) > 0:
	case by.Linger > 0 && !IsSessionsChannel(c.name):
		p.lingering[memoryLinger{c.name, field}] = p.now.Add(by.Linger)
	default:
		p.leave(by, c, field)
	}
}

// memberOf returns the member that a field identifies.
func memberOf(field string) *Member {
	if field[0] == '-' {
		return &Member{Session: field[1:]}
	}
	return &Member{User: field[1:]}
}

func (p *memoryPresence) leave(by Attendant, c *memoryRoom, field string) {
	m := c.members[field]
	delete(c.members, field)
	p.postNotice(by, c, EventLeave, m)
}

// endLingers ends the lingers that have run out. It returns the time until the next one
// ends, or 0 if there is none.
func (p *memoryPresence) endLingers(by Attendant) (next time.Duration) {
	over := slices.SortedFunc(maps.Keys(p.lingering), func(a, b memoryLinger) int {
		return cmp.Or(p.lingering[a].Compare(p.lingering[b]), strings.Compare(a.member, b.member))
	})
	for _, l := range over {
		if left := p.lingering[l].Sub(p.now); left > 0 && by.Linger > 0 {
			return left
		}
		delete(p.lingering, l)
		c := p.room(l.channel)
		if l.member == channelItself {
			c.vacates = false
			p.notify(by, c, "c", NoticeVacated, Member{})
		} else {
			p.leave(by, c, l.member)
		}
		p.forget(c)
	}
	return 0
}

// reap removes dead nodes. If no node has given a sign of life, the process itself may have
// been stopped; then reap gives each node more time, once.
func (p *memoryPresence) reap(by Attendant) {
	silent := true
	for _, node := range p.nodes {
		silent = silent && p.late(node)
	}
	for name, node := range p.nodes {
		switch {
		case silent && !node.spared:
			node.ends, node.spared = p.now.Add(node.lease/2), true
		case !node.ends.After(p.now) && name != by.Node:
			delete(p.nodes, name)
			p.bury(by, name)
		}
	}
}

// bury removes a dead node from all channels. Members that were only on this node leave.
func (p *memoryPresence) bury(by Attendant, node string) {
	by.Node, by.Linger = node, 0
	for _, c := range p.channels {
		stay, had := c.nodes[node]
		p.count(by, c, 0, 0)
		for field := range c.members {
			p.exit(by, c, memberOf(field))
		}
		p.tellCount(by, c, stay.sessions, 0)
		if had {
			p.vacate(by, c)
		}
		p.forget(c)
	}
}
