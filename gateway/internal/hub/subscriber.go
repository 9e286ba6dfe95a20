package hub

import (
	"context"
	"errors"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/outbox"
)

// Subscriber is a session as its channels see it. Its methods do not block, and may be
// called with the channel locked.
type Subscriber interface {
	ID() string          // the session's identifier
	Who() attendance.Who // the user or session it acts as on the channel
	Outbox() *outbox.Outbox

	// Dismiss ends the subscription or the session, unless the session has left the channel
	// already.
	Dismiss(Dismissal)
}

// Joiner is a session that is joining an audience.
type Joiner interface {
	// Encode encodes the reply to the client, and Reply sends it. If Start has Members,
	// encoding takes time in proportion to their number, so Encode is called without the
	// channel's lock; Reply is called with it. Say sends news before the client is in the
	// audience. Both Reply and Say return false if the client cannot be told; the session or
	// the subscription then ends soon. Reply also returns false if another join of the
	// subscription is to add it to the audience.
	Encode(Start)
	Reply() (said bool)
	Say(News) (said bool)

	// GoOn runs goOn, which may take long, in another goroutine: once the session has a
	// connection, and after what it was given before. Of those of one subscription that wait,
	// only the one with the latest reply runs: number is that of the reply, and wraps around.
	GoOn(number uint32, goOn func())

	// Turn returns the session's Turn, which it needs to read a history.
	Turn() Turn
}

// Turn limits how much is read for one client at a time.
type Turn interface {
	Try() bool                  // takes the turn if it is free
	Wait(context.Context) error // returns nil when it is worth calling Try again
	End()                       // gives back what Try took
}

// Start says at which position a subscription begins or, if the session asked for Members,
// who is on the channel.
type Start struct {
	Resumed   bool             // the client had a cursor; if not, ignore Recovered
	Recovered bool             // everything published since the cursor follows
	Position  broker.Position  // the channel's position; zero without history
	After     broker.Position  // everything published after this follows; zero without history
	Members   []attendance.Who // who is there, itself last; nil if not asked for or not told
}

// News is what a channel sends besides messages.
type News struct {
	Channel  string
	Kind     Kind
	Who      attendance.Who // for Joined and Left: the member
	Sessions int            // for Counted: the number of sessions in the whole cluster
}

// Kind is the kind of News.
type Kind uint8

const (
	Gap           Kind = iota // messages may have been missed and cannot be recovered
	Joined                    // a member has joined
	Left                      // a member has left
	ManyChanged               // too many members joined or left to report each of them
	Counted                   // the number of sessions on the channel
	NothingRecent             // the client asked for recent messages, but there are none
)

// Encoder encodes messages and news for one protocol. Two Encoders that compare equal (==)
// must produce the same frames. Its methods must be safe for concurrent use, and may be
// called with a channel locked.
type Encoder interface {
	// EncodeMessage returns the frame of a message, or nil if the message is not to be sent.
	EncodeMessage(*broker.Message) ([]byte, error)

	// EncodeDelta returns the frame of m for a client that has before; if before is nil, the
	// frame contains the whole message.
	EncodeDelta(m, before *broker.Message) ([]byte, error)

	EncodeNews(*News) (Frame, error)
}

// Frame is encoded News.
type Frame struct {
	Data   []byte // nil if the news is not to be sent
	Others bool   // for Joined and Left: not sent to the member's own sessions
	Last   bool   // the frame ends the client's subscription
}

// Dismissal says how to end a subscription or session that cannot be told something it must
// be told.
type Dismissal struct {
	Last []byte // sent last, then the subscription ends; nil if the whole session ends
	Why  error  // why the session ends: ErrSlow, ErrMissed, or an error of the Encoder
}

// Why a session ends.
var (
	ErrSlow   = errors.New("the session does not keep up")
	ErrMissed = errors.New("messages may have been missed")
)

// Why a Join fails. The client is shown their texts.
var (
	ErrGone = errors.New("the subscription has ended meanwhile: subscribe again")
	ErrLost = errors.New("messages after the cursor are lost: subscribe without it")
)

// DismissalFor returns the Dismissal that the result of EncodeNews requires. due is false if
// it requires none.
func DismissalFor(frame Frame, err error) (d Dismissal, due bool) {
	switch {
	case err != nil:
		return Dismissal{Why: err}, true
	case frame.Last:
		return Dismissal{Last: frame.Data, Why: ErrMissed}, true
	}
	return Dismissal{}, false
}
