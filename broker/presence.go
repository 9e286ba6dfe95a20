package broker

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// Presence knows who is on which channel in the whole cluster, and keeps queues of notices
// for backends, called lines. All methods are safe for concurrent use and fail with
// ErrUnavailable if the broker does not answer in time; the operation may then have been
// done, or may be done a little later.
//
// Nodes state which members they have. The broker draws the conclusions, by its own clock
// and in one atomic step for each node and channel:
//
//   - A member joins, and a channel becomes occupied, with the first session on any node.
//   - A member leaves when no node has had a session of the member for the linger time. A
//     channel is vacated when no node has had a session there for the linger time.
//   - A node without a sign of life for the length of its lease is dead: it has no members any
//     more. If no node at all has given a sign of life for half a lease, the broker itself may
//     have been stopped: then each node gets half a lease more, once, to show that it lives.
//
// The broker handles the end of a linger or of a lease at the next Keep of any node.
//
// Each join and leave is published once, as a message of PresenceChannel: Event is
// EventJoin or EventLeave, User and Session identify the member, and the Payload of a join
// is the member's info. Their positions count them without gaps within an epoch, so that
// listeners know when to call Members.
//
// In the same step the broker appends notices to the lines of the backends that want them
// (Attendant.Wants). One node at a time takes notices from a line and removes those it has
// delivered, so that a notice survives both the node that caused it and the one that
// delivers it.
type Presence interface {
	// Attend states which members a node has on channels, and is a sign of life of the
	// node. taken says, in the order of list and even if err is not nil, which attendances
	// the broker has accepted. The broker ignores an attendance that is older than what it
	// has of the node, and one that states only changes and does not follow what it has.
	// Calls of Attend and Keep for one node must not overlap.
	Attend(ctx context.Context, by Attendant, list []Attendance) (taken []bool, err error)

	// Keep is a sign of life of the node. It also handles lingers and leases that have
	// ended. version must be larger than that of every earlier Attendance of the node, and
	// is used up like one. If a part of the broker does not answer, the error comes with the
	// Standing of the rest.
	Keep(ctx context.Context, by Attendant, version uint64) (Standing, error)

	// Attended returns the channels on which the broker has the node, in no order and
	// perhaps with duplicates; with an error those of the parts that have answered.
	Attended(ctx context.Context, by Attendant) ([]string, error)

	// Look returns the position of the newest join or leave of each channel, which is zero if
	// nobody is there or has been lately. With an error, those channels are missing whose parts
	// have not answered.
	Look(ctx context.Context, channels []string) (map[string]Position, error)

	// Members returns who is on a channel. Members who linger are included, with 0
	// sessions. Callers may share the list, and must not change it.
	Members(ctx context.Context, channel string) (Roster, error)

	Notices
}

// Notices are the lines: queues of what backends are to be told, one for each backend. All
// methods are safe for concurrent use, and fail like those of Presence.
type Notices interface {
	// Put appends notices to their lines. Notices of one channel keep the order of list,
	// and come after those that its attendances have caused. Put ignores ID, Time and
	// Sessions. It drops the notice of a message if there is no room for it. It adds no
	// second notice of a message if one with the same channel and Message.Key was put in
	// the line within the last IdempotencyWindow; that counts as in line. inLine says, in
	// the order of list and even if err is not nil, which notices are in line or were
	// dropped. After an error the others may be in line, too.
	Put(ctx context.Context, by Attendant, list []Notice) (inLine []bool, err error)

	// Take makes t the teller, the only node that delivers the line, for the length of its
	// lease, unless another node is. It removes the notices that t has delivered, and
	// returns the oldest ones of the line.
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
	NoticeLeft     = "left" // on a SessionsChannel: the session is over
	NoticeCounted  = "counted"
)

// Attendant is a node: one run of a process. A later run must not use its name again.
type Attendant struct {
	Node   string        // must not contain spaces
	Lease  time.Duration // the node is dead this long after its last sign of life
	Linger time.Duration // how long a member without a session stays; 0 means not at all, and Keep ends all lingers
	Wants  []Wants       // one for each line; the same on all nodes
	Room   int           // most notices in a line, of some 300 bytes each; beyond it the oldest are dropped; 0 means 100,000
}

// Wants says which notices a backend wants.
type Wants struct {
	// Line is the name of the line, without spaces and equals signs. A named line expires a
	// week after its last notice.
	Line     string
	Of       func(channel string) bool // reports whether the backend wants notices of a channel; nil means of all
	Channels bool                      // NoticeOccupied and NoticeVacated
	Members  bool                      // NoticeJoined and NoticeLeft
	Counts   bool                      // NoticeCounted
	Sessions bool                      // NoticeLeft of members of a SessionsChannel
}

// Attendance states the members that a node has on a channel.
type Attendance struct {
	Channel  string
	Version  uint64   // larger than that of every earlier Attendance of the node; never 0
	After    uint64   // the Version that this one follows; 0 if the node has had nobody there
	AtLeast  bool     // it follows After or any later one, as it has all changes since After; with After 0, all members
	Whole    bool     // it replaces all that is known: a member not in Members has left the node
	Sessions int      // all sessions that the node has there; with 0 the broker forgets the channel and its Version
	Members  []Member // those who changed; their Sessions are those on this node, 0 for a member who has left it
}

// Member is one who is on a channel: a user or, if Session is set, a single session.
type Member struct {
	User     string // empty if anonymous
	Session  string
	Info     json.RawMessage // nil if none
	Sessions int

	Elsewhere json.RawMessage // as in Message
}

// Standing is what the broker knows of a node, returned by Keep.
type Standing struct {
	// Since returns the first version from which the broker has the node's attendances of a
	// channel, or 0 if that is not known. It has lost earlier ones, or may have. That includes
	// attendances without sessions, so the broker may have the node on a channel that the node
	// has left (see Attended).
	Since func(channel string) uint64

	Forgot uint64        // the largest value that Since returns for any channel
	Next   time.Duration // until the next linger ends; 0 if nobody lingers
}

// Roster says who is on a channel.
type Roster struct {
	Members  []Member // sorted by user, then by session
	Position Position // of the newest join or leave that Members includes; zero as in Look
	Sessions int      // all sessions, including anonymous ones
}

// Teller is a node that delivers the notices of a line.
type Teller struct {
	Line      string
	Node      string
	Lease     time.Duration // for this long no other node delivers; 0 gives the line up
	Delivered []string      // IDs of the delivered notices: all that the last Take returned
	Most      int           // most notices to return; a Cluster may return one for each partition
}

// Line is the beginning of a line of notices.
type Line struct {
	Holder  string   // the node that delivers, if it is another one; then all else is empty
	Notices []Notice // oldest first; never a newer notice of a channel without all older ones
	Dropped int      // notices dropped for lack of room since the last Take
}

// Notice is one event that a backend is to be told.
type Notice struct {
	ID       string // unique
	Event    string
	Time     time.Time
	Channel  string
	User     string // of the member
	Session  string
	Info     json.RawMessage // of the member, as last stated
	Sessions int             // how many were on the channel at that time, in the whole cluster
	Line     string          // the line for Put to append to
	Message  *Message        // the message that the notice is of, or nil
}

// size estimates the memory of a notice in bytes.
func (n *Notice) size() int {
	if n.Message == nil {
		return noticeBytes
	}
	return noticeBytes + n.Message.Size()
}

const noticeBytes = 300

// roomFor returns how many notices a line may have at most for n to be put there. The limit
// shrinks with the size of n, so that a large message finds less room.
func (by Attendant) roomFor(n *Notice) int { return max(1, by.room()*noticeBytes/n.size()) }

func (by Attendant) room() int {
	if by.Room > 0 {
		return by.Room
	}
	return 100_000
}

// PresenceChannel returns the channel on which joins and leaves of a channel are published.
// Clients cannot name it, because it contains a space.
func PresenceChannel(channel string) string { return channel + presenceSuffix }

// CutPresenceChannel is the inverse of PresenceChannel. ok reports whether name is a
// PresenceChannel.
func CutPresenceChannel(name string) (channel string, ok bool) {
	channel, ok = strings.CutSuffix(name, presenceSuffix)
	return channel, ok && !strings.Contains(channel, " ")
}

// SessionsChannel returns the channel that stands for a node. Its members are the sessions
// of the node. A backend is told when each of them is over, even if the node has died or
// never stated the session before. Nobody lingers there, and no joins or leaves are
// published.
func SessionsChannel(node string) string { return node + sessionsSuffix }

// IsSessionsChannel reports whether name is the SessionsChannel of a node.
func IsSessionsChannel(name string) bool { return strings.HasSuffix(name, sessionsSuffix) }

const (
	presenceSuffix = " presence"
	sessionsSuffix = " sessions"
)

// letters encodes which notices the events of a channel cause: "s" if it is a
// SessionsChannel, then for each line that wants its notices the name of the line and
// letters for the kinds: c for the channel, m for members, n for counts.
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
