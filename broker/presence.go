package broker

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// Presence knows who is on a channel, by user, in the whole cluster. All methods
// may be called concurrently. Each fails with ErrUnavailable when the broker does
// not answer in time; what it was to do may have been done then, or may be done a
// little later.
//
// Nodes state whom they have. What follows from that the broker decides, by its
// own clock and in one atomic step each:
//
//   - A user joins with the first session on any node.
//   - A user leaves when no node has had a session of his for a linger.
//   - A node that has not been heard of for its lease is dead: it has nobody.
//     Where no node has been heard of for half a lease it may be the broker that
//     has stood still: then each has half a lease more, once, to say that it lives.
//
// Joins and leaves are published, each once, as messages of PresenceChannel: the
// Event is EventJoin or EventLeave, User says who, the Payload of a join is his
// info. Their positions count them, without holes within an epoch, so that
// whoever listens knows when to ask for Members. What time brings about, leaves
// after a linger and leaves of the dead, happens at the next call for that
// channel, whichever node it comes from.
type Presence interface {
	// Attend says whom a node has on channels, and is a sign of life of the
	// node there. In the order of list it says what the broker has taken: an
	// attendance that is older than what it has of the same node and channel,
	// or tells only of changes and does not follow that, does nothing.
	Attend(ctx context.Context, by Attendant, list []Attendance) (taken []bool, err error)

	// Keep is a sign of life of the node on the channels that it stays on. It
	// says in the order of stays how things stand there.
	Keep(ctx context.Context, by Attendant, stays []Stay) ([]Standing, error)

	// Members returns who is on a channel. Users who linger are among them,
	// without sessions.
	Members(ctx context.Context, channel string) (Roster, error)
}

// The events of a PresenceChannel.
const (
	EventJoin  = "join"
	EventLeave = "leave"
)

// Attendant is a node, on the whole: one run of a process. Its name is not used
// again by a later one.
type Attendant struct {
	Node   string        // without spaces
	Lease  time.Duration // how long after its last sign of life the node is dead
	Linger time.Duration // how long a user who has no session anywhere is not gone yet
}

// Attendance is whom a node has on a channel.
type Attendance struct {
	Channel string
	Version uint64   // larger than that of every Attendance of the node before; never 0
	After   uint64   // the Version that it follows; 0: the node has had nobody there
	Whole   bool     // it follows whatever there is: who is not among Members has left the node
	Members []Member // those who changed; Sessions are this node's, and 0 for who has left it
}

// Stay is a channel that a node has sessions on.
type Stay struct {
	Channel string
	Version uint64 // of the node's last Attendance there; 0: it has no member there and only looks
}

// Standing is what a broker knows of a channel.
type Standing struct {
	Position Position // of the newest join or leave; zero: nobody is there or has been lately
	Known    bool     // the Attendance with the Stay's version is what the broker has of the node
}

// Roster is who is on a channel.
type Roster struct {
	Members  []Member // by user
	Position Position // of the newest join or leave that is accounted for, as in Standing
}

// Member is a user who is on a channel.
type Member struct {
	User     string
	Info     json.RawMessage // nil: none
	Sessions int
}

// PresenceChannel returns the channel on which joins and leaves of a channel are
// published. No client can name it: it has a space in it.
func PresenceChannel(channel string) string { return channel + presenceSuffix }

// CutPresenceChannel returns the channel whose PresenceChannel is given.
func CutPresenceChannel(name string) (channel string, ok bool) {
	channel, ok = strings.CutSuffix(name, presenceSuffix)
	return channel, ok && !strings.Contains(channel, " ")
}

const presenceSuffix = " presence"
