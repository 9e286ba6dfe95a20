// Package rules defines what operators configure about channels: valid names, patterns, and
// rules that say who may do what.
package rules

import (
	"fmt"
	"time"
)

// Rule says what is allowed on the channels that it matches and how they behave. The zero
// Rule allows nothing and keeps no history.
type Rule struct {
	Match       string // a pattern: * matches any run of characters
	Subscribe   Who
	Publish     Who
	Presence    bool // clients may ask who is there
	BySession   bool // each session is a member of its own, not each user
	JoinLeave   bool // subscribers are told who comes and goes
	HistorySize int  // messages kept; 0 means no history
	HistoryTTL  time.Duration
	Replicas    int           // Redis replicas that must have a message of the history before it is confirmed
	Conflate    bool          // a session that lags gets only the latest message
	Bare        bool          // messages have no envelope in Redis
	Delay       time.Duration // how long a delivery may wait for others, to be sent together; 0 means not at all
}

// Who is a class of clients.
type Who string

const (
	Nobody        Who = "nobody" // except backends
	Anyone        Who = "anyone"
	Authenticated Who = "authenticated" // clients with a user
	Token         Who = "token"         // clients whose token lists the channel
	Subscribers   Who = "subscribers"   // clients subscribed to the channel; only for Publish
)

func (r Rule) validate() error {
	switch {
	case r.Match == "":
		return fmt.Errorf("match is missing: give a pattern such as chat:*")
	case !r.Subscribe.known():
		return fmt.Errorf("subscribe is %q: want %s", r.Subscribe, knownWho)
	case !r.Publish.known() && r.Publish != Subscribers:
		return fmt.Errorf("publish is %q: want %s, or subscribers", r.Publish, knownWho)
	case r.HistorySize < 0 || r.HistoryTTL < 0 || r.Replicas < 0 || r.Delay < 0:
		return fmt.Errorf("a size or a time is negative")
	case r.HistorySize == 0 && r.HistoryTTL > 0:
		return fmt.Errorf("history has a ttl but no size: give history.size as well")
	case r.HistorySize == 0 && r.Replicas > 0:
		return fmt.Errorf("history has replicas but no size: give history.size as well")
	case r.Bare && r.HistorySize > 0:
		return fmt.Errorf("bare and history exclude each other: a bare message has no place for its position")
	case r.BySession && !r.Presence:
		return fmt.Errorf("presence by session needs presence")
	case r.JoinLeave && !r.Presence:
		return fmt.Errorf("join_leave needs presence: true")
	}
	return nil
}

const knownWho = "anyone, authenticated, token or nobody"

func (w Who) known() bool {
	switch w {
	case "", Nobody, Anyone, Authenticated, Token:
		return true
	}
	return false
}

// KeepsHistory reports whether the rule's channels keep a history, so that their
// messages have positions.
func (r *Rule) KeepsHistory() bool { return r.HistorySize > 0 }
