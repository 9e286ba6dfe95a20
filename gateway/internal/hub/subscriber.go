package hub

import (
	"context"
	"errors"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/timeline"
)

// Subscriber is a session on a channel, as the channel sees it. No method blocks; all may
// be called with the channel locked.
type Subscriber interface {
	ID() string          // the session's
	Who() attendance.Who // whom the session acts as on the channel
	Outbox() *outbox.Outbox

	// Dismiss ends the subscription or the session, unless that has left the channel.
	Dismiss(Dismissal)
}

// Joiner is a session on its way into an audience.
type Joiner interface {
	// Reply makes the answer to the client, and returns a function that sends it. With
	// Members, whose cost grows with their number, it is called without the channel's
	// lock; reply is called with it. Say tells the client something before it is in the
	// audience. Both report false if the client cannot be told: then the session, or the
	// subscription, ends soon.
	Reply(Start) (reply func() (said bool))
	Say(News) (said bool)

	// WhenAttached has goOn run, in a goroutine of its own, once the session has a
	// connection.
	WhenAttached(goOn func())

	// Turn returns how the session gets its turn to have a history read.
	Turn() Turn
}

// Turn bounds what is read for one client at a time.
type Turn interface {
	Try() bool                  // takes the turn if there is one
	Wait(context.Context) error // returns when it is worth to try again; an error says that it was in vain
	End()                       // what Try took
}

// Start says where on a channel a subscription begins or, if it asked for Members, who is
// there.
type Start struct {
	Resumed   bool             // there was a cursor; only then Recovered means something
	Recovered bool             // all that was published since the cursor follows
	Position  broker.Position  // of the channel; zero without history
	After     broker.Position  // all that was published after it follows; zero without history
	Members   []attendance.Who // who is there, this one at the end; nil: it was not asked for, or is not told
}

// News is what a channel tells beside its messages.
type News struct {
	Channel  string
	Kind     Kind
	Who      attendance.Who // who has Joined or Left
	Sessions int            // of Counted: how many there are in the whole cluster
}

// Kind is what News are about.
type Kind uint8

const (
	Gap           Kind = iota // messages may have been missed, and cannot be had any more
	Joined                    // a member has come
	Left                      // a member has gone
	ManyChanged               // more members came or went than are told one by one
	Counted                   // how many sessions there are
	NothingRecent             // recent messages were asked for, and there are none
)

// Encoder says what a channel tells in one way. Two that are equal (==) say the same. All
// methods may be called concurrently, also with a channel locked.
type Encoder interface {
	// EncodeMessage returns the frame of a message; nil: it is not said.
	EncodeMessage(*broker.Message) ([]byte, error)

	// EncodeDelta returns the frame of a message for who was told the one before; nil: it
	// is to be told the whole. What differs the encoders of both messages share.
	EncodeDelta(m, before *broker.Message, d *timeline.Differences) ([]byte, error)

	EncodeNews(*News) (Frame, error)
}

// Frame is news as they are written.
type Frame struct {
	Data   []byte // nil: they are not said
	Others bool   // of Joined and Left: they are not for the sessions of that member
	Last   bool   // the client leaves the channel with them
}

// Dismissal is how those go who cannot be told something and stay.
type Dismissal struct {
	Last []byte // the client is told this, and its subscription ends; nil: the session ends
	Why  error  // a session ends: ErrSlow, ErrMissed, or an Encoder's
}

// Why a session ends.
var (
	ErrSlow   = errors.New("the session does not keep up")
	ErrMissed = errors.New("messages may have been missed")
)

// Why a Join fails, in words for the client.
var (
	ErrGone  = errors.New("the subscription has ended meanwhile: subscribe again")
	ErrEnded = errors.New("the session has ended")
)

// DismissalFor returns what the frame of some news, or the error in its place, brings
// about, if anything.
func DismissalFor(frame Frame, err error) (d Dismissal, due bool) {
	switch {
	case err != nil:
		return Dismissal{Why: err}, true
	case frame.Last:
		return Dismissal{Last: frame.Data, Why: ErrMissed}, true
	}
	return Dismissal{}, false
}
