package gateway

import (
	"hash/fnv"
	"slices"
	"time"
)

// keptStay is a stay that this node is a keeper of.
type keptStay struct {
	nodes   map[string]uint64 // that have it, and the versions of their statements
	gone    map[string]uint64 // that had it
	waiting map[string]uint64 // that want it settled
	known   bool              // the backend knows that it has begun, and not that it has ended
	sure    bool              // that this is so; else the backend is told again if in doubt
	telling bool              // a notice of it is under way
	empty   time.Time         // since when no node has it
	heard   time.Time         // when a node stated it last
}

// take notes what a node states.
func (r *roll) take(node string, statements []statement, now time.Time) {
	for _, s := range statements {
		switch s.State {
		case hasCome, isHeld, hasGone:
			if r.rank(s.stay) < rollKeepers {
				r.note(node, s, now)
			}
		case hasBegun, hasEnded:
			r.noteTold(s)
		}
	}
}

func (r *roll) note(node string, s statement, now time.Time) {
	k := r.kept[s.stay]
	if k == nil {
		k = &keptStay{nodes: make(map[string]uint64), gone: make(map[string]uint64), waiting: make(map[string]uint64)}
		r.kept[s.stay] = k
	}
	if max(k.nodes[node], k.gone[node]) > s.Version {
		return // overtaken
	}
	k.heard = now
	switch s.State {
	case hasGone:
		delete(k.nodes, node)
		k.gone[node] = s.Version
		k.noteEmpty(now)
	default:
		k.nodes[node] = s.Version
		delete(k.gone, node)
		k.empty = time.Time{}
	}
	if s.State == isHeld {
		k.known, k.sure = true, true
	} else {
		k.waiting[node] = s.Version
	}
	r.due = append(r.due, s.stay)
}

func (k *keptStay) noteEmpty(now time.Time) {
	if len(k.nodes) == 0 && k.empty.IsZero() {
		k.empty = now
	}
}

// noteTold lets a second keeper know what the first one has told.
func (r *roll) noteTold(s statement) {
	k := r.kept[s.stay]
	if k == nil || r.rank(s.stay) == 0 {
		return
	}
	k.known, k.sure = s.State == hasBegun, true
	if !k.known && len(k.nodes) == 0 {
		delete(r.kept, s.stay)
	}
}

// sweep lets a second keeper forget what the first one has told, if the word of it
// was lost: else nodes would still state it.
func (r *roll) sweep(now time.Time) {
	if now.Sub(r.swept) < rollForget {
		return
	}
	r.swept = now
	for at, k := range r.kept {
		if len(k.nodes) == 0 && !k.telling && now.Sub(k.heard) > rollForget && r.rank(at) == 1 {
			delete(r.kept, at)
		}
	}
}

// reassign forgets the nodes that are gone, and the stays that others keep now.
func (r *roll) reassign(now time.Time) {
	for at, k := range r.kept {
		if r.rank(at) >= rollKeepers && !k.telling {
			delete(r.kept, at)
			continue
		}
		for node := range k.nodes {
			if !slices.Contains(r.alive, node) {
				delete(k.nodes, node)
				delete(k.waiting, node)
			}
		}
		k.noteEmpty(now)
		r.due = append(r.due, at)
	}
}

// keep tells the backend what it does not know, and settles what it does.
func (r *roll) keep(now time.Time) {
	due := r.due
	r.due = nil
	for _, at := range due {
		k := r.kept[at]
		if k == nil || k.telling {
			continue
		}
		switch r.rank(at) {
		case 0:
			r.keepOne(at, k, now)
		case rollKeepers:
			delete(r.kept, at)
		}
	}
}

func (r *roll) keepOne(at stay, k *keptStay, now time.Time) {
	begun := len(k.nodes) > 0
	switch {
	case k.sure && begun == k.known:
		r.reply(at, k)
		if !begun {
			delete(r.kept, at)
		}
	case !begun && now.Before(r.endOf(k)), !r.tell(at, k, begun, now):
		r.due = append(r.due, at)
	}
}

// endOf returns when an empty stay has ended: after the linger, and once all
// nodes have had time to say what they have.
func (r *roll) endOf(k *keptStay) time.Time {
	end := k.empty.Add(r.linger)
	if known := r.changed.Add(rollGrace); !r.changed.IsZero() && known.After(end) {
		return known
	}
	return end
}

// tell tells the backend that a stay has begun or ended, and reports whether the
// notice found room.
func (r *roll) tell(at stay, k *keptStay, begun bool, now time.Time) bool {
	told := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		k.telling, k.known, k.sure = false, begun, true
		r.due = append(r.due, at)
		r.rouse()
	}
	event := eventOf(at, begun)
	if !r.gateway.hooks.Wants(event) {
		k.known, k.sure = begun, true
		r.due = append(r.due, at)
		r.rouse()
		return true
	}
	k.telling = r.gateway.hooks.Tell(Notice{
		Event: event, Time: now, Node: r.gateway.node, Channel: at.Channel, User: at.User,
	}, told)
	return k.telling
}

func eventOf(at stay, begun bool) HookEvent {
	switch {
	case at.User == "" && begun:
		return OnChannelOccupied
	case at.User == "":
		return OnChannelVacated
	case begun:
		return OnMemberJoined
	default:
		return OnMemberLeft
	}
}

// reply settles with the nodes that wait for it, and lets the second keeper know.
func (r *roll) reply(at stay, k *keptStay) {
	for node, version := range k.waiting {
		r.replies[node] = append(r.replies[node], statement{at, version, settled})
	}
	if state := hasBegun; len(k.waiting) > 0 || !k.known {
		if !k.known {
			state = hasEnded
		}
		r.told = append(r.told, statement{stay: at, State: state})
	}
	clear(k.waiting)
}

// endAlone tells the backend that everything has ended, if this node was the only
// one.
func (r *roll) endAlone() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.gateway.cluster.Alive()) > 1 {
		return // the others see this one go
	}
	now := time.Now()
	r.take(r.gateway.node, r.statements(now), now)
	for at, k := range r.kept {
		if !k.sure || k.known || k.telling {
			r.tell(at, k, false, now)
		}
	}
}

// rank returns which keeper of a stay this node is, from 0; rollKeepers: none.
func (r *roll) rank(at stay) int {
	for rank := range rollKeepers {
		if r.keeper(at, rank) == r.gateway.node {
			return rank
		}
	}
	return rollKeepers
}

// keeper returns the node of a rank, or "".
func (r *roll) keeper(at stay, rank int) string {
	var first, second string
	var most, next uint64
	for _, node := range r.alive {
		switch w := weight(node, at); {
		case first == "" || w > most:
			first, most, second, next = node, w, first, most
		case second == "" || w > next:
			second, next = node, w
		}
	}
	if rank == 0 {
		return first
	}
	return second
}

// weight is that of rendezvous hashing: the same on every node.
func weight(node string, at stay) uint64 {
	h := fnv.New64a()
	for _, part := range []string{node, at.Channel, at.User} {
		_, _ = h.Write([]byte(part)) // it cannot fail
		_, _ = h.Write([]byte{0})
	}
	return mix(h.Sum64())
}

// mix spreads what FNV leaves alike in the high bits (the finalizer of
// MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
