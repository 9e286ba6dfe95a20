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

// trust is what this node knows about the Redis process that holds the histories of a
// partition. With it the node can tell what Redis itself cannot: that another process held
// them in between, although this one still runs; that this process was flushed; or that old
// data has come back. Each of these is a doubt: an era must end if it began before the node
// was last sure. All methods are safe for concurrent use.
type trust struct {
	heard atomic.Bool // a message with a position has come, so there is some era

	// Guarded by mu.
	mu      lock.Mutex[lock.Trust]
	master  mastership
	from    string    // claim of the master that handed the partition to this one; "" if none did, or Redis knows
	losses  int64     // of the broker's links, when the node last vouched
	era     string    // the last one that the process told, or ""
	began   time.Time // when it first told era
	ended   []string  // earlier eras
	sure    time.Time // when the process last answered a script; zero if none has
	doubted time.Time // an era that began earlier is in doubt; zero if there is no doubt
}

// voucher is what a node tells a script about the process that runs it.
type voucher struct {
	mastership
	from    string
	doubted time.Time
	era     string // the era that the process had last, as far as the node knows
	at      time.Time
}

// vouch returns what to tell a script over a connection to p. If a process does not tell
// who it is, each lost link means that it may be another one.
func (t *trust) vouch(p *process, now time.Time) voucher {
	t.mu.Lock()
	defer t.mu.Unlock()
	other := !p.continues(t.master.line) || p.line == (line{}) && p.losses != t.losses
	if other {
		if t.doubted.IsZero() {
			t.doubted = t.sure
		}
		t.from = ""
	}
	if other && p.line != (line{}) {
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
	return voucher{mastership: p.mastership, from: t.from, doubted: t.doubted, era: before, at: now}
}

// leaves returns the process that held the histories before p, if it is another one, and
// when the node was last sure of it.
func (t *trust) leaves(p *process) (former mastership, sure time.Time, left bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := !t.sure.IsZero() && t.doubted.IsZero() && t.master.line != (line{})
	return t.master, t.sure, known && !p.continues(t.master.line)
}

// follow records that p has taken over all histories from the former master.
func (t *trust) follow(former mastership, p *process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.master == former {
		t.master, t.from = p.mastership, former.claim()
	}
}

// hear is called for each message received. One with a position in a history shows that
// there is an era.
func (t *trust) hear(m *Message) {
	if !m.Position.IsZero() && !t.heard.Load() && !strings.Contains(m.Channel, " ") {
		t.heard.Store(true)
	}
}

// learn records that a script that was told v has run and returned an era.
func (t *trust) learn(v voucher, era string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !v.continues(t.master.line) || v.from != t.from || !v.doubted.Equal(t.doubted) {
		return
	}
	t.sure, t.doubted, t.from = now, time.Time{}, ""
	switch {
	case era == "" || era == t.era:
	case !slices.Contains(t.ended, era):
		if t.era != "" {
			t.ended = append(t.ended, t.era)
			t.ended = t.ended[max(0, len(t.ended)-endedMost):]
		}
		t.era, t.began = strings.Clone(era), now
	case v.at.After(t.began): // the answer is not late: old data is back (SWAPDB, RESTORE)
		t.doubted = now
	}
}

const endedMost = 16 // earlier eras that a node remembers

// freshEra returns the era that begins in a process which has none: all nodes with the same
// knowledge choose the same. It differs from the era before, which the process is known to
// have had.
func freshEra(line, before string) string {
	if before == "" {
		return "f" + line[:min(len(line), freshDigits)]
	}
	sum := sha1.Sum([]byte(line + before))
	return "f" + hex.EncodeToString(sum[:freshDigits/2])
}

const freshDigits = 10

// arguments returns the arguments that every script of history has last.
func (v voucher) arguments() [vouched]any {
	doubt := ""
	if !v.doubted.IsZero() {
		doubt = strconv.FormatInt(v.at.Sub(v.doubted).Milliseconds(), 10)
	}
	return [vouched]any{v.claim(), doubt, freshEra(v.line.String(), v.era), v.from}
}

const vouched = 4 // number of arguments
