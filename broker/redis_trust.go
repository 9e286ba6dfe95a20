package broker

import (
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
)

// trust is what this node knows of the Redis process that has the histories of one
// partition. It is what a node can say when Redis itself cannot: that another
// process had them meanwhile, though this one still runs, that this one has
// been flushed, or that former data has come back. Each is a doubt: an era that began
// before the node was sure last has to end. All methods may be called concurrently.
type trust struct {
	heard atomic.Bool // a message of a history, which is of some era

	// Guarded by mu.
	mu      lock.Mutex[lock.Trust]
	met     bool
	master  mastership
	from    string    // the claim of the master that has given the partition to this one; "": none, or Redis knows
	losses  int64     // of the broker's links, by then
	era     string    // that the process told last; ""
	began   time.Time // when it first did
	ended   []string  // eras before that
	sure    time.Time // when it answered last
	doubted time.Time // what began before is in doubt; zero: nothing is
}

// voucher is what a node tells a script of the process that runs it.
type voucher struct {
	mastership
	from    string
	doubted time.Time
	fresh   string // the era that begins if there is none: all nodes that know as much say the same
	at      time.Time
}

// vouch returns what a script is told over a connection to a process. Where a
// process does not tell who it is, each lost link means that it may be another one.
func (t *trust) vouch(p *process, now time.Time) voucher {
	t.mu.Lock()
	defer t.mu.Unlock()
	other := !p.continues(t.master.line) || p.line == "" && p.losses != t.losses
	if other {
		if t.met && t.doubted.IsZero() {
			t.doubted = t.sure
		}
		t.from = ""
	}
	if other && p.line != "" {
		t.era = ""
		t.heard.Store(false)
	}
	if other || p.asOf.After(t.master.asOf) {
		t.master = p.mastership
	}
	t.losses = p.losses
	before := t.era
	if before == "" && t.heard.Load() {
		before = "unknown"
	}
	return voucher{mastership: p.mastership, from: t.from, doubted: t.doubted, fresh: freshEra(p.line, before), at: now}
}

// leaves returns who had the histories before the process, if that is another one, and
// when the node was sure of it last.
func (t *trust) leaves(p *process) (former mastership, sure time.Time, left bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.met && t.doubted.IsZero() && t.master.line != ""
	return t.master, t.sure, known && !p.continues(t.master.line)
}

// follow notes that a process has the histories from the one that had them before, and
// all of them.
func (t *trust) follow(former mastership, p *process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.master == former {
		t.master, t.from = p.mastership, former.claim()
	}
}

// hear notes that a message has come, which tells that there is an era if it has a
// position in a history.
func (t *trust) hear(m *Message) {
	if !m.Position.IsZero() && !t.heard.Load() && !strings.Contains(m.Channel, " ") {
		t.heard.Store(true)
	}
}

// learn notes that a script, which was told v, has been run, and which era it told.
func (t *trust) learn(v voucher, era string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !v.continues(t.master.line) || v.from != t.from || !v.doubted.Equal(t.doubted) {
		return
	}
	t.met, t.sure, t.doubted, t.from = true, now, time.Time{}, ""
	switch {
	case era == "" || era == t.era:
	case !slices.Contains(t.ended, era):
		t.begin(strings.Clone(era), now)
	case v.at.After(t.began): // it is no late answer: the data of then is back (SWAPDB, RESTORE)
		t.doubted = now
	}
}

// begin notes the present era. It is called with mu held.
func (t *trust) begin(era string, now time.Time) {
	if t.era != "" {
		t.ended = append(t.ended, t.era)
		t.ended = t.ended[max(0, len(t.ended)-endedMost):]
	}
	t.era, t.began = era, now
}

const endedMost = 16 // eras that a node knows to be over

// freshEra is the era that begins in a process which has none: another one than that
// which it is known to have had.
func freshEra(line, before string) string {
	if before == "" {
		return "f" + line[:min(len(line), freshDigits)]
	}
	sum := sha1.Sum([]byte(line + before))
	return "f" + hex.EncodeToString(sum[:freshDigits/2])
}

const freshDigits = 10

// arguments are the last ones of each script of history.
func (v voucher) arguments() [vouched]any {
	doubt := ""
	if !v.doubted.IsZero() {
		doubt = strconv.FormatInt(v.at.Sub(v.doubted).Milliseconds(), 10)
	}
	return [vouched]any{v.claim(), doubt, v.fresh, v.from}
}

const vouched = 4 // arguments
