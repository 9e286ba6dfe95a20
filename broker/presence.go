package broker

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// Presence knows who is on which channel in the whole cluster, and keeps the line
// of what a backend is to be told of it. All methods may be called concurrently.
// Each fails with ErrUnavailable when the broker does not answer in time; what it
// was to do may have been done then, or may be done a little later.
//
// Nodes state whom they have. What follows from that the broker decides, by its
// own clock and in one atomic step for a node and a channel:
//
//   - A member joins with the first session on any node, and a channel is occupied.
//   - A member leaves when no node has had a session of his for a linger. A channel
//     is vacated when no node has had a session there for a linger.
//   - A node that has not been heard of for its lease is dead: it has nobody.
//     Where no node has been heard of for half a lease it may be the broker that
//     has stood still: then each has half a lease more, once, to say that it lives.
//
// What time brings about, the end of a linger and of a lease, happens at the next
// Keep of any node.
//
// Joins and leaves are published, each once, as messages of PresenceChannel: the
// Event is EventJoin or EventLeave, User and Session say who, the Payload of a join
// is his info. Their positions count them, without holes within an epoch, so that
// listeners know when to ask for Members.
//
// What backends want to hear of (Attendant.Wants) is put in line, in the same step.
// One node at a time takes from a line and removes what it has delivered, so that a
// notice survives the node that it is of and the one that delivers.
type Presence interface {
	// Attend says whom a node has on channels, and is a sign of life of the node.
	// In the order of list it says what the broker has taken, beside an error too:
	// an attendance that is older than what it has of the node, or tells only of
	// changes and does not follow what the broker has, does nothing. Calls of
	// Attend and Keep of one node must not overlap.
	Attend(ctx context.Context, by Attendant, list []Attendance) (taken []bool, err error)

	// Keep is a sign of life of the node, and does what time has brought about.
	// version is larger than that of each Attendance of the node before, and counts
	// as one.
	Keep(ctx context.Context, by Attendant, version uint64) (Standing, error)

	// Attended returns the channels that the broker has the node on, in no order, and
	// perhaps one more than once.
	Attended(ctx context.Context, by Attendant) ([]string, error)

	// Look returns how many are on channels, in the order asked.
	Look(ctx context.Context, channels []string) ([]Occupancy, error)

	// Members returns who is on a channel. Those who linger are among them, without
	// sessions.
	Members(ctx context.Context, channel string) (Roster, error)

	Notices
}

// Notices are the lines of what backends are to be told, one for each of them. All
// methods may be called concurrently, and fail as those of Presence do.
type Notices interface {
	// Put puts notices in line: of one channel in the order of list, and behind what
	// its attendances have brought about. ID, Time and Sessions are not read. A notice
	// of a message for which there is no room is dropped, and one of a message whose Key
	// has brought the same channel's notice into the line within the last
	// IdempotencyWindow counts as being there already. In the order of list it says
	// what is in line, or was dropped, beside an error too; the others may be in line
	// after it, all the same.
	Put(ctx context.Context, by Attendant, list []Notice) (inLine []bool, err error)

	// Take makes t the teller that delivers, for its lease, unless another one is. It
	// removes the notices that t has delivered, and returns the oldest of the line.
	Take(ctx context.Context, t Teller) (Line, error)
}

// The events of a PresenceChannel.
const (
	EventJoin  = "join"
	EventLeave = "leave"
)

// The events of notices.
const (
	NoticeOccupied = "occupied"
	NoticeVacated  = "vacated"
	NoticeJoined   = "joined"
	NoticeLeft     = "left" // of a channel of SessionsChannel, too: the session is over
	NoticeCounted  = "counted"
)

// Attendant is a node, on the whole: one run of a process. Its name is not used
// again by a later one.
type Attendant struct {
	Node   string        // without spaces
	Lease  time.Duration // how long after its last sign of life the node is dead
	Linger time.Duration // how long a member without a session anywhere is not gone yet; 0: not at all, and Keep ends all lingers
	Wants  []Wants       // of different lines; the same on all nodes
	Room   int           // notices that may be in a line, some 300 bytes each: beyond it the oldest are dropped; 0: 100,000
}

// Wants is what a backend is to be told of.
type Wants struct {
	Line     string                    // of the notices; without spaces and equals signs. One with a name goes when nothing has come for a week
	Of       func(channel string) bool // whether it is told of a channel; nil: of all
	Channels bool                      // NoticeOccupied and NoticeVacated
	Members  bool                      // NoticeJoined and NoticeLeft
	Counts   bool                      // NoticeCounted
	Sessions bool                      // NoticeLeft, of members of a SessionsChannel
}

// Attendance is whom a node has on a channel.
type Attendance struct {
	Channel  string
	Version  uint64   // larger than that of every Attendance of the node before; never 0
	After    uint64   // the Version that it follows; 0: the node has had nobody there
	Whole    bool     // it replaces whatever there is: a member that is not in Members has left the node
	Sessions int      // that the node has there in all; 0: it forgets the channel, and its Version
	Members  []Member // those who changed; Sessions are this node's, and 0 for those who have left it
}

// Member is who is on a channel: a user or, where Session is set, one session.
type Member struct {
	User     string // empty: anonymous
	Session  string
	Info     json.RawMessage // nil: none
	Sessions int

	Elsewhere json.RawMessage // as in Message
}

// Standing is how things stand for a node.
type Standing struct {
	// Since returns the version from which on the broker has the node's attendances
	// of a channel. Older ones are forgotten, or may be: an attendance without sessions,
	// too, so that the broker has the node on a channel that it has left (see Attended).
	Since func(channel string) uint64

	Forgot uint64        // the largest that Since returns of any channel
	Next   time.Duration // until a linger ends; 0: nobody lingers
}

// Occupancy is how many are on a channel.
type Occupancy struct {
	Position Position // of the newest join or leave; zero: nobody is there or has been lately
	Sessions int
	Present  int // members, those who linger too
}

// Roster is who is on a channel.
type Roster struct {
	Members  []Member // by user, then by session
	Position Position // of the newest join or leave that is accounted for; zero as in Occupancy
	Sessions int      // anonymous ones, too
}

// Teller is a node that delivers the notices of a line.
type Teller struct {
	Line      string
	Node      string
	Lease     time.Duration // for which nobody else delivers; 0: it is given up
	Delivered []string      // IDs of notices, all that Take has returned
	Most      int           // notices to return
}

// Line is the beginning of a line of notices.
type Line struct {
	Holder  string   // who delivers, if it is another node; then there is nothing else
	Notices []Notice // oldest first; of one channel all that there are before any newer one
	Dropped int      // notices that found no room since the last Take
}

// Notice is what a backend is to be told.
type Notice struct {
	ID       string // unique
	Event    string
	Time     time.Time
	Channel  string
	User     string // of a member
	Session  string
	Info     json.RawMessage // of a member, as stated last
	Sessions int             // on the channel then, in the whole cluster
	Line     string          // for Put: in which it is to be
	Message  *Message        // nil: it is of none
}

// size is about how many bytes a notice takes.
func (n *Notice) size() int {
	if n.Message == nil {
		return noticeBytes
	}
	return noticeBytes + len(n.Message.Payload)
}

const noticeBytes = 300

// roomFor returns how short a line must be for a notice that is put there: one with a
// large message finds less room.
func (by Attendant) roomFor(n *Notice) int { return max(1, by.room()*noticeBytes/n.size()) }

func (by Attendant) room() int {
	if by.Room > 0 {
		return by.Room
	}
	return 100_000
}

// PresenceChannel returns the channel on which joins and leaves of a channel are
// published. No client can name it: it has a space in it.
func PresenceChannel(channel string) string { return channel + presenceSuffix }

// CutPresenceChannel returns the channel whose PresenceChannel is given.
func CutPresenceChannel(name string) (channel string, ok bool) {
	channel, ok = strings.CutSuffix(name, presenceSuffix)
	return channel, ok && !strings.Contains(channel, " ")
}

// SessionsChannel returns the channel that stands for a node: its members are the
// node's sessions, of which a backend is told when they are over, also when the
// node has died, or the session was never stated before. Nobody lingers there, and
// nothing is published of it.
func SessionsChannel(node string) string { return node + sessionsSuffix }

// IsSessionsChannel reports whether a channel stands for a node.
func IsSessionsChannel(name string) bool { return strings.HasSuffix(name, sessionsSuffix) }

const (
	presenceSuffix = " presence"
	sessionsSuffix = " sessions"
)

// letters say what follows from what happens on a channel: s, that it is a
// SessionsChannel; then for each line that is told of it the name and what is told: c of
// the channel, m of members, n of counts.
//
//	s =m                  the sessions of a node
//	 =cm shop=mn          a channel
func (by Attendant) letters(channel string) (letters string) {
	sessions := IsSessionsChannel(channel)
	if sessions {
		letters = "s"
	}
	for i := range by.Wants {
		if w := &by.Wants[i]; sessions && w.Sessions {
			letters += " " + w.Line + "=m"
		} else if of := w.letters(channel); !sessions && of != "" {
			letters += " " + w.Line + "=" + of
		}
	}
	return letters
}

func (w *Wants) letters(channel string) (letters string) {
	if w.Of != nil && !w.Of(channel) {
		return ""
	}
	if w.Channels {
		letters += "c"
	}
	if w.Members {
		letters += "m"
	}
	if w.Counts {
		letters += "n"
	}
	return letters
}
