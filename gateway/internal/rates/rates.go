// Package rates bounds how fast clients may ask: token buckets of commands, of bytes
// and of new channels, for each principal and for each address that clients come from;
// and how much is read and held for each of them at a time.
package rates

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
)

// Limit is what one bucket lets pass. The zero value lets all pass.
type Limit struct {
	Commands    int // a second; 0: no limit
	Bytes       int // a second, of payloads and keys; 0: no limit
	LargestByte int // the least burst of bytes, so that the largest message has room
	NewChannels int // a second, see TakeChannel; 0: no limit
	Channels    int // the burst of new channels
	Reads       int // at a time; 0: no limit
	Held        int // bytes at a time; 0: no limit
}

// Cost is what a command takes.
type Cost struct {
	Commands int
	Bytes    int
	Channel  string // that it publishes to, which keeps a history; empty: none
	Key      bool   // it has an idempotency key, which is remembered
}

// Verdict says whether there was enough, or of what there was not.
type Verdict uint8

const (
	Enough Verdict = iota
	TooManyCommands
	TooManyBytes
)

// terms are a Limit as buckets keep to it, who share them.
type terms struct {
	Limit
	commands, bytes, newcomers pace
	began                      time.Time // from when on the levels of the buckets tell time
}

func termsOf(l Limit) *terms {
	return &terms{
		Limit:     l,
		commands:  paceOf(l.Commands, l.Commands),
		bytes:     paceOf(l.Bytes, max(l.Bytes, l.LargestByte)),
		newcomers: paceOf(l.NewChannels, max(l.NewChannels, l.Channels)),
		began:     time.Now(),
	}
}

// pace is how fast something may be spent. The zero value is no limit.
type pace struct {
	each  float64       // nanoseconds until one that was spent is there again
	burst time.Duration // until an empty bucket is full
}

func paceOf(perSecond, burst int) (p pace) {
	if perSecond > 0 {
		p.each = float64(time.Second) / float64(perSecond)
		p.burst = p.of(burst)
	}
	return p
}

// of returns how long it takes until n are there again.
func (p pace) of(n int) time.Duration { return time.Duration(p.each * float64(n)) }

// level says when a bucket is full again of something, as time since the terms began. The
// zero value is a full one. It takes 8 bytes, where a Limiter of golang.org/x/time/rate
// takes 80: each session has three of them.
type level struct{ full atomic.Int64 }

// take takes n, if there are so many.
func (l *level) take(n int, p pace, now time.Duration) bool {
	for p.each > 0 {
		before := l.full.Load()
		after := max(time.Duration(before), now) + p.of(n)
		switch {
		case after > now+p.burst:
			return false
		case l.full.CompareAndSwap(before, int64(after)):
			return true
		}
	}
	return true
}

// owe takes one in any case, and returns how long it takes until there is room for it.
func (l *level) owe(p pace, now time.Duration) time.Duration {
	for p.each > 0 {
		before := l.full.Load()
		after := max(time.Duration(before), now) + p.of(1)
		if l.full.CompareAndSwap(before, int64(after)) {
			return max(0, after-now-p.burst)
		}
	}
	return 0
}

// Bucket is what one principal, or one address, may still do. A nil *Bucket lets
// all pass. All methods may be called concurrently.
type Bucket struct {
	// Fixed at birth.
	terms *terms
	key   *key // in its table; nil: no Table has it

	commands, bytes, newcomers level
	held                       atomic.Int64

	// Guarded by mu.
	mu    lock.Mutex[lock.Bucket]
	reads chan struct{} // has one for each that is under way; nil: there was none yet

	// Guarded by the table's mu.
	holders int32
	isLet   bool // it is among those that are let
}

// New returns a bucket that no Table has.
func New(l Limit) *Bucket { return &Bucket{terms: termsOf(l)} }

// BeginRead waits until there is a place for one more read, and takes it until EndRead.
// An error is ctx's, and no place is taken.
func (b *Bucket) BeginRead(ctx context.Context) error {
	if b.readsFreely() {
		return nil
	}
	select {
	case b.places() <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TryRead is BeginRead without the wait. It reports whether there was a place.
func (b *Bucket) TryRead() bool {
	if b.readsFreely() {
		return true
	}
	select {
	case b.places() <- struct{}{}:
		return true
	default:
		return false
	}
}

// EndRead gives back the place of a read.
func (b *Bucket) EndRead() {
	if !b.readsFreely() {
		<-b.places()
	}
}

func (b *Bucket) readsFreely() bool { return b == nil || b.terms.Reads == 0 }

func (b *Bucket) places() chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reads == nil {
		b.reads = make(chan struct{}, b.terms.Reads)
	}
	return b.reads
}

// Hold notes that so many bytes are held until LetGo, if there may be so many, and
// reports whether that is so.
func (b *Bucket) Hold(bytes int) bool {
	if b == nil || b.terms.Held == 0 {
		return true
	}
	if b.held.Add(int64(bytes)) <= int64(b.terms.Held) {
		return true
	}
	b.LetGo(bytes)
	return false
}

// LetGo says that so many bytes are held no more.
func (b *Bucket) LetGo(bytes int) {
	if b != nil && b.terms.Held > 0 {
		b.held.Add(-int64(bytes))
	}
}

// Take takes what a command costs but for its channel, or says what is lacking.
func (b *Bucket) Take(c Cost) Verdict {
	if b == nil {
		return Enough
	}
	now := time.Since(b.terms.began)
	switch {
	case !b.commands.take(c.Commands, b.terms.commands, now):
		return TooManyCommands
	case c.Bytes > 0 && !b.bytes.take(c.Bytes, b.terms.bytes, now):
		return TooManyBytes
	}
	return Enough
}

// NewChannels returns how many new channels there may be a second.
func (b *Bucket) NewChannels() int {
	if b == nil {
		return 0
	}
	return b.terms.NewChannels
}

// Owe takes one command in any case, and returns how long it takes until there is
// room for it.
func (b *Bucket) Owe() time.Duration {
	if b == nil {
		return 0
	}
	return b.commands.owe(b.terms.commands, time.Since(b.terms.began))
}

// takeNewcomer takes what one new channel costs, if there is so much.
func (b *Bucket) takeNewcomer() bool {
	return b == nil || b.newcomers.take(1, b.terms.newcomers, time.Since(b.terms.began))
}

// isFull reports whether nothing would be lost if the bucket were made anew.
func (b *Bucket) isFull(now time.Time) bool {
	fullAt := max(b.commands.full.Load(), b.bytes.full.Load(), b.newcomers.full.Load())
	return b.held.Load() == 0 && time.Duration(fullAt) <= now.Sub(b.terms.began)
}

// Table has the buckets of users and of addresses. Its memory is bounded by those
// that hold one, and those who did within the time that it takes to fill it again.
// The zero value is not ready; all methods may be called concurrently.
type Table struct {
	// Fixed at birth.
	principal, address *terms

	lately lately

	// Guarded by mu.
	mu      lock.Mutex[lock.Rates]
	buckets map[key]*Bucket
	let     []*Bucket // that nobody held when they came here, the oldest first; each once
}

type key struct {
	user    string
	network netip.Prefix
	all     bool // of the network as a whole, not of those there without a name
}

// NewTable returns a table whose users, and whose clients without a name at one
// address, may do what principal says each, and all clients of one address together
// what address says.
func NewTable(principal, address Limit) *Table {
	return &Table{principal: termsOf(principal), address: termsOf(address), lately: newLately(), buckets: make(map[key]*Bucket)}
}

// Own returns a bucket of a principal's that nobody else has, and the table neither.
func (t *Table) Own() *Bucket {
	if t.principal.Limit == (Limit{}) {
		return nil
	}
	return &Bucket{terms: t.principal}
}

// User returns a user's bucket, to be given to Release.
func (t *Table) User(user string) *Bucket { return t.hold(key{user: user}, t.principal) }

// Nameless returns the bucket of the clients without a name at an address, to be
// given to Release. An address that is not known has none.
func (t *Table) Nameless(network netip.Prefix) *Bucket {
	return t.hold(key{network: network}, t.principal)
}

// Address returns the bucket of all clients at an address, to be given to Release.
// An address that is not known has none.
func (t *Table) Address(network netip.Prefix) *Bucket {
	return t.hold(key{network: network, all: true}, t.address)
}

// TakeChannel takes what it costs those who publish to a channel: of each one new
// channel, unless somebody whose bucket this table has published to it lately. It returns
// the one that has none left; nil: there was enough.
func (t *Table) TakeChannel(channel string, of ...*Bucket) (lacking *Bucket) {
	place, mark := t.lately.placeOf(channel)
	if place.Load() == mark {
		return nil
	}
	for _, b := range of {
		if !b.takeNewcomer() {
			return b
		}
	}
	place.Store(mark)
	return nil
}

func (t *Table) hold(k key, l *terms) *Bucket {
	if l.Limit == (Limit{}) || k.user == "" && !k.network.IsValid() {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.buckets[k]
	if b == nil {
		kept := k
		b = &Bucket{terms: l, key: &kept}
		t.buckets[k] = b
	}
	b.holders++
	return b
}

// Release gives a bucket back; nil is nothing.
func (t *Table) Release(b *Bucket) {
	if b == nil || b.key == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.holders--; b.holders > 0 || b.isLet {
		return
	}
	b.isLet = true
	t.let = append(t.let, b)
	if len(t.let) > MostLet {
		t.dropOldest()
	}
}

// A table keeps so many buckets that nobody holds, until they are full, however many
// users and addresses come and go meanwhile.
const (
	MostLet     = 16384
	BucketBytes = 1 << 10 // about what one takes at most
)

// dropOldest forgets what one has spent, unless it is held again. It is called with mu
// held.
func (t *Table) dropOldest() {
	b := t.let[0]
	t.let[0] = nil
	t.let = t.let[1:]
	b.isLet = false
	if b.holders == 0 {
		delete(t.buckets, *b.key)
	}
}

// Sweep forgets the buckets that nobody holds and that are full. It is called from
// time to time.
func (t *Table) Sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := t.let[:0]
	for _, b := range t.let {
		switch {
		case b.holders > 0:
			b.isLet = false
		case b.isFull(now):
			b.isLet = false
			delete(t.buckets, *b.key)
		default:
			kept = append(kept, b)
		}
	}
	clear(t.let[len(kept):])
	t.let = kept
}

// Len returns how many buckets there are.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.buckets)
}
