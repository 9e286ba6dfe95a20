package brokertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidegate/broker"
)

// attendant is a node in the eyes of presence, with the attendances that it has sent.
type attendant struct {
	c        *cluster
	by       broker.Attendant
	node     Node
	version  uint64                    // last sent
	versions map[string]uint64         // last sent, by channel
	here     map[string]map[string]int // sessions, by channel and user
}

// long is a duration that does not elapse during a test, and short one that a test waits
// for.
const (
	long  = time.Hour
	short = 300 * time.Millisecond
)

func (c *cluster) attendant(name string, lease, linger time.Duration) *attendant {
	node := c.first()
	if name == "last" {
		node = c.last()
	}
	return &attendant{
		c: c, node: node, versions: make(map[string]uint64), here: make(map[string]map[string]int),
		by: broker.Attendant{Node: name, Lease: lease, Linger: linger, Wants: []broker.Wants{{Channels: true, Members: true, Sessions: true}}},
	}
}

// has sets the number of sessions that a user of the node has in a channel.
func (a *attendant) has(channel, user string, sessions int) {
	a.c.Helper()
	a.attends(broker.Attendance{Channel: channel, Members: []broker.Member{{User: user, Sessions: sessions}}})
}

// attends sends attendances. If an attendance has no Sessions, it gets the sum of the node's
// members of the channel.
func (a *attendant) attends(list ...broker.Attendance) {
	a.c.Helper()
	for i := range list {
		if list[i].Sessions == 0 {
			list[i].Sessions = a.sum(&list[i])
		}
	}
	a.c.insist("Attend", func() error {
		for i := range list {
			list[i].After = a.versions[list[i].Channel]
			a.version++
			list[i].Version = a.version
		}
		taken, err := a.node.Presence.Attend(a.c.Context(), a.by, list)
		if err == nil && slices.Contains(taken, false) {
			err = fmt.Errorf("taken: %v", taken)
		}
		for _, one := range list {
			a.versions[one.Channel] = one.Version
			if one.Sessions == 0 {
				a.versions[one.Channel] = 0
			}
		}
		return err
	})
}

// sum applies an attendance and returns the number of sessions that the node's members of
// its channel have afterwards.
func (a *attendant) sum(one *broker.Attendance) (sessions int) {
	here := a.here[one.Channel]
	if here == nil || one.Whole {
		here = make(map[string]int)
		a.here[one.Channel] = here
	}
	for _, m := range one.Members {
		here[m.User+" "+m.Session] = m.Sessions
	}
	for _, n := range here {
		sessions += n
	}
	return sessions
}

// stand is the state of a channel from a node's point of view.
type stand struct {
	broker.Roster
	Known bool // the broker has the node's last attendance
}

// keeps renews the node's lease and returns the state of a channel.
func (a *attendant) keeps(channel string) (s stand) {
	a.c.Helper()
	standing := a.stands()
	a.c.insist("Look", func() error {
		roster, err := a.node.Presence.Members(a.c.Context(), channel)
		if err != nil {
			return err
		}
		s = stand{roster, standing.Since(channel) <= a.versions[channel]}
		newest, err := a.node.Presence.Look(a.c.Context(), []string{channel})
		if err == nil && newest[channel] != s.Position {
			err = fmt.Errorf("at %v is who is there, and at %v the newest join or leave", s.Position, newest[channel])
		}
		return err
	})
	return s
}

// stands renews the node's lease and returns its standing.
func (a *attendant) stands() (standing broker.Standing) {
	a.c.Helper()
	a.c.insist("Keep", func() (err error) {
		a.version++
		standing, err = a.node.Presence.Keep(a.c.Context(), a.by, a.version)
		return err
	})
	return standing
}

// looks renews the lease of a node without sessions, which makes the broker process leases
// and lingers that have ended.
func (c *cluster) looks(channel string) {
	c.Helper()
	looker := c.attendant("looker", long, long)
	looker.version = c.looked
	looker.keeps(channel)
	c.looked = looker.version
}

func (c *cluster) members(channel string) string {
	c.Helper()
	var roster broker.Roster
	c.insist("Members", func() (err error) {
		roster, err = c.last().Presence.Members(c.Context(), channel)
		return err
	})
	return show(roster.Members)
}

func show(members []broker.Member) string {
	var list []string
	for _, m := range members {
		list = append(list, fmt.Sprintf("%s%s%s*%d", strings.Trim(m.User+"/"+m.Session, "/"), m.Info, elsewhere(m.Elsewhere), m.Sessions))
	}
	return strings.Join(list, " ")
}

func elsewhere(info json.RawMessage) string {
	if info == nil {
		return ""
	}
	var b bytes.Buffer
	if err := json.Compact(&b, info); err != nil {
		return "/" + err.Error()
	}
	return "/" + b.String()
}

func (c *cluster) expectMembers(channel, want string) {
	c.Helper()
	if got := c.members(channel); got != want {
		c.Errorf("members of %s: %q, want %q", channel, got, want)
	}
}

// expectTold waits for joins and leaves of a channel and compares them, in order.
func (c *cluster) expectTold(channel string, want ...string) {
	c.Helper()
	if got := told(c.heard().WaitMessages(broker.PresenceChannel(channel), len(want))); !slices.Equal(got, want) {
		c.Errorf("told of %s: %q, want %q", channel, got, want)
	}
}

func told(messages []broker.Message) []string {
	var list []string
	for _, m := range messages {
		list = append(list, m.Event+" "+m.User+string(m.Payload)+elsewhere(m.Elsewhere))
	}
	return list
}

func (c *cluster) listen(channel string) {
	c.Helper()
	c.subscribe(broker.PresenceChannel(channel))
}
