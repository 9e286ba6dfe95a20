// Package rules is what operators write about channels: their names, the patterns
// that match these, and the rules that say who may do what on them.
package rules

import (
	"fmt"
	"time"
)

// Rule says what may be done on the channels that it matches, and how they
// behave. The zero Rule allows nothing and keeps nothing.
type Rule struct {
	Match       string // a pattern: * stands for any run of characters
	Subscribe   Who
	Publish     Who
	Presence    bool // who is there can be asked
	BySession   bool // of presence: each session is a member, not each user
	JoinLeave   bool // subscribers hear who comes and goes
	HistorySize int  // messages kept; 0: none
	HistoryTTL  time.Duration
	Replicas    int           // of Redis that must have a message of the history before it is confirmed
	Conflate    bool          // a session that lags gets the latest message only
	Bare        bool          // no envelope in Redis
	Delay       time.Duration // how long deliveries may wait for company; 0: not
}

// Who is a class of principals.
type Who string

const (
	Nobody        Who = "nobody" // but backends
	Anyone        Who = "anyone"
	Authenticated Who = "authenticated" // clients that have a user
	Token         Who = "token"         // clients whose token names the channel
	Subscribers   Who = "subscribers"   // whose session is subscribed: only for Publish
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

// KeepsHistory reports whether the rule's channels have positions.
func (r *Rule) KeepsHistory() bool { return r.HistorySize > 0 }
