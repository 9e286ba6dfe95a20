package broker

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

var _ Presence = (*Memory)(nil)

// Attend is documented at Presence.
func (b *Memory) Attend(ctx context.Context, by Attendant, list []Attendance) ([]bool, error) {
	taken := make([]bool, len(list))
	for i, a := range list {
		err := b.onPresence(ctx, "attend", a.Channel, func(p *memoryPresence) { taken[i] = p.attend(by, a) })
		if err != nil {
			return nil, err
		}
	}
	return taken, nil
}

// Keep is documented at Presence.
func (b *Memory) Keep(ctx context.Context, by Attendant, stays []Stay) ([]Standing, error) {
	standings := make([]Standing, len(stays))
	for i, stay := range stays {
		err := b.onPresence(ctx, "keep", stay.Channel, func(p *memoryPresence) { standings[i] = p.keep(by, stay) })
		if err != nil {
			return nil, err
		}
	}
	return standings, nil
}

// Members is documented at Presence.
func (b *Memory) Members(ctx context.Context, channel string) (Roster, error) {
	var roster Roster
	err := b.onPresence(ctx, "members of", channel, func(p *memoryPresence) { roster = p.roster() })
	return roster, err
}

// onPresence calls f with who is on a channel, once what time has brought about
// is done.
func (b *Memory) onPresence(ctx context.Context, verb, channel string, f func(*memoryPresence)) error {
	name := PresenceChannel(channel)
	return b.on(ctx, verb, name, func(c *memoryChannel) {
		if c.presence == nil {
			c.presence = newMemoryPresence(name)
		}
		c.presence.begin(time.Now(), func(m Message) {
			if c.subscribed {
				b.receiver.Receive(m)
			}
		})
		f(c.presence)
	})
}

// memoryPresence is who is on a channel, as Memory knows it. It is guarded by the
// mu of the memoryChannel that it belongs to.
type memoryPresence struct {
	name     string // of the channel on which joins and leaves are published
	position Position
	nodes    map[string]*memoryNode
	users    map[string]*memoryUser

	// Set by begin.
	now    time.Time
	tell   func(Message)
	silent bool // all nodes are late
}

type memoryNode struct {
	ends    time.Time
	lease   time.Duration
	version uint64 // 0: it only looks
	spared  bool   // it has been given more time
}

type memoryUser struct {
	info   json.RawMessage
	nodes  map[string]int // sessions
	leaves time.Time      // when nodes is empty
}

func newMemoryPresence(name string) *memoryPresence {
	return &memoryPresence{
		name: name, position: Position{Epoch: newEpoch()},
		nodes: make(map[string]*memoryNode), users: make(map[string]*memoryUser),
	}
}

// begin begins a call.
func (p *memoryPresence) begin(now time.Time, tell func(Message)) {
	p.now, p.tell, p.silent = now, tell, true
	for _, node := range p.nodes {
		p.silent = p.silent && p.late(node)
	}
}

// late reports whether a node has missed signs of life.
func (p *memoryPresence) late(node *memoryNode) bool { return node.ends.Sub(p.now) < node.lease/2 }

// renew notes a sign of life.
func (p *memoryPresence) renew(node *memoryNode, by Attendant) {
	node.ends, node.lease, node.spared = p.now.Add(by.Lease), by.Lease, false
}

func (p *memoryPresence) attend(by Attendant, a Attendance) (taken bool) {
	node := p.nodes[by.Node]
	if node == nil {
		node = &memoryNode{}
	}
	if node.version >= a.Version || !a.Whole && node.version != a.After {
		return false
	}
	p.nodes[by.Node] = node
	node.version = a.Version
	p.renew(node, by)
	p.reap()
	listed := make(map[string]bool)
	for _, m := range a.Members {
		listed[m.User] = true
		if m.Sessions > 0 {
			p.enter(by.Node, m)
		} else {
			p.exit(by, m.User)
		}
	}
	for user := range p.users {
		if a.Whole && !listed[user] {
			p.exit(by, user)
		}
	}
	return true
}

func (p *memoryPresence) keep(by Attendant, stay Stay) Standing {
	node := p.nodes[by.Node]
	if node == nil && stay.Version == 0 {
		node = &memoryNode{}
		p.nodes[by.Node] = node
	}
	if node != nil && (stay.Version > 0 || node.version == 0) {
		p.renew(node, by)
	}
	p.reap()
	return Standing{Position: p.position, Known: node != nil && node.version == stay.Version}
}

func (p *memoryPresence) roster() Roster {
	p.reap()
	roster := Roster{Position: p.position, Members: make([]Member, 0, len(p.users))}
	for user, u := range p.users {
		m := Member{User: user, Info: u.info}
		for _, sessions := range u.nodes {
			m.Sessions += sessions
		}
		roster.Members = append(roster.Members, m)
	}
	slices.SortFunc(roster.Members, byUser)
	return roster
}

func (p *memoryPresence) enter(node string, m Member) {
	u := p.users[m.User]
	if u == nil {
		u = &memoryUser{nodes: make(map[string]int)}
		p.users[m.User] = u
		p.publish(EventJoin, m.User, m.Info)
	}
	u.info, u.nodes[node] = m.Info, m.Sessions
}

func (p *memoryPresence) exit(by Attendant, user string) {
	u := p.users[user]
	if u == nil || u.nodes[by.Node] == 0 {
		return
	}
	delete(u.nodes, by.Node)
	u.leaves = p.now.Add(by.Linger)
	p.endLinger(user, u)
}

// endLinger lets a user leave whose linger is over.
func (p *memoryPresence) endLinger(user string, u *memoryUser) {
	if len(u.nodes) == 0 && !u.leaves.After(p.now) {
		delete(p.users, user)
		p.publish(EventLeave, user, nil)
	}
}

// reap does what time has brought about. Where no node has been heard of it may be
// the process that has stood still.
func (p *memoryPresence) reap() {
	for name, node := range p.nodes {
		switch {
		case p.silent && p.late(node) && !node.spared:
			node.ends, node.spared = p.now.Add(node.lease/2), true
		case !node.ends.After(p.now):
			p.bury(name)
		}
	}
	for user, u := range p.users {
		p.endLinger(user, u)
	}
}

// bury removes a dead node. Whom it alone had has left.
func (p *memoryPresence) bury(node string) {
	delete(p.nodes, node)
	for _, u := range p.users {
		if _, had := u.nodes[node]; had {
			delete(u.nodes, node)
			u.leaves = p.now
		}
	}
}

func (p *memoryPresence) publish(event, user string, info json.RawMessage) {
	p.position.Offset++
	p.tell(Message{Channel: p.name, Payload: info, Event: event, User: user, Position: p.position})
}

// forgettable reports whether nobody is there. It is for channels that nobody is
// subscribed to.
func (p *memoryPresence) forgettable(now time.Time) bool {
	if p == nil {
		return true
	}
	p.begin(now, func(Message) {})
	p.reap()
	return len(p.users) == 0
}
