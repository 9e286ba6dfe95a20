// Package rates limits clients. Token buckets, one per principal and one per client
// address, limit the rate of commands, bytes and new channels. They also limit how many
// reads are under way and how many bytes are held at a time.
package rates

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
)

// Memory is memory that all clients of a node share. It is implemented by *gateway.Budget. A
// nil payer has no limit of its own.
type Memory interface {
	Hold(payer *Bucket, bytes int) error
	LetGo(payer *Bucket, bytes int)
}

// Limit configures a bucket. The zero value limits nothing.
type Limit struct {
	Commands    int // per second; 0 means no limit
	Bytes       int // per second, of payloads and keys; 0 means no limit
	LargestByte int // the smallest burst of bytes, so that the largest message fits
	NewChannels int // per second, see TakeChannel; 0 means no limit
	Channels    int // burst of new channels
	Reads       int // at a time; 0 means no limit
	Held        int // bytes held at a time; 0 means no limit
}

// Cost is what a command consumes.
type Cost struct {
	Commands int
	Bytes    int
	Channel  string // the channel with history that it publishes to; empty if none
	Key      bool   // it has an idempotency key, which must be remembered
}

// Verdict says whether a bucket had enough, or which resource was short.
type Verdict uint8

const (
	Enough Verdict = iota
	TooManyCommands
	TooManyBytes
)

// terms is a Limit in the form that buckets use. Buckets share it.
type terms struct {
	Limit
	commands, bytes, newcomers pace
	began                      time.Time // the levels of the buckets count time from here
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

// pace is a rate and a burst. The zero value means no limit.
type pace struct {
	each  float64       // nanoseconds until one consumed unit is available again
	burst time.Duration // time until an empty bucket is full
}

func paceOf(perSecond, burst int) (p pace) {
	if perSecond > 0 {
		p.each = float64(time.Second) / float64(perSecond)
		p.burst = p.of(burst)
	}
	return p
}

// of returns the time until n units are available again.
func (p pace) of(n int) time.Duration { return time.Duration(p.each * float64(n)) }

// level is the time at which one resource of a bucket will be full again, counted from
// terms.began. The zero value is full. It takes 8 bytes, while a Limiter of
// golang.org/x/time/rate takes 80, and each session has three.
type level struct{ full atomic.Int64 }

// take consumes n units and reports true, or consumes nothing if there are fewer. A full bucket
// has enough for any n: a message larger than the burst would else be refused forever.
func (l *level) take(n int, p pace, now time.Duration) bool {
	for p.each > 0 {
		before := l.full.Load()
		after := max(time.Duration(before), now) + p.of(n)
		switch {
		case after > now+p.burst && time.Duration(before) > now:
			return false
		case l.full.CompareAndSwap(before, int64(after)):
			return true
		}
	}
	return true
}

// owe consumes n units even if there are fewer, and returns how long to wait until they are covered.
func (l *level) owe(n int, p pace, now time.Duration) time.Duration {
	for p.each > 0 {
		before := l.full.Load()
		after := max(time.Duration(before), now) + p.of(n)
		if l.full.CompareAndSwap(before, int64(after)) {
			return max(0, after-now-p.burst)
		}
	}
	return 0
}

// Bucket holds what one principal or one address may still do. A nil *Bucket limits
// nothing. All methods are safe for concurrent use.
type Bucket struct {
	// Fixed at birth.
	terms *terms
	key   *key // in its table; nil if it is in no Table

	commands, bytes, newcomers level
	held                       atomic.Int64

	// Guarded by mu.
	mu    lock.Mutex[lock.Bucket]
	reads chan struct{} // a semaphore; nil before the first read

	// Guarded by the table's mu.
	holders int32
	isLet   bool // it is in Table.let
}

// New returns a bucket that belongs to no Table.
func New(l Limit) *Bucket { return &Bucket{terms: termsOf(l)} }

// BeginRead blocks until one more read may run, which must be ended with EndRead. If ctx
// ends first, it returns ctx's error and EndRead must not be called.
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

// TryRead is like BeginRead but does not block. It reports whether the read may run.
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

// EndRead ends a read.
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

// Hold adds to the bytes held, until LetGo, and reports true. If that would exceed the
// limit, it adds nothing and reports false.
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

// LetGo subtracts from the bytes held.
func (b *Bucket) LetGo(bytes int) {
	if b != nil && b.terms.Held > 0 {
		b.held.Add(-int64(bytes))
	}
}

// Take consumes what a command costs, apart from its channel, or returns which resource is short.
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

// NewChannels returns how many new channels are allowed per second.
func (b *Bucket) NewChannels() int {
	if b == nil {
		return 0
	}
	return b.terms.NewChannels
}

// Owe consumes commands even if there are fewer, and returns how long to wait until they are
// covered.
func (b *Bucket) Owe(commands int) time.Duration {
	if b == nil {
		return 0
	}
	return b.commands.owe(commands, b.terms.commands, time.Since(b.terms.began))
}

// takeNewcomer consumes one new channel and reports whether there was one.
func (b *Bucket) takeNewcomer() bool {
	return b == nil || b.newcomers.take(1, b.terms.newcomers, time.Since(b.terms.began))
}

// isFull reports whether the bucket is in the same state as a new one.
func (b *Bucket) isFull(now time.Time) bool {
	fullAt := max(b.commands.full.Load(), b.bytes.full.Load(), b.newcomers.full.Load())
	return b.held.Load() == 0 && time.Duration(fullAt) <= now.Sub(b.terms.began)
}

// Table holds the buckets of users and of addresses. It keeps a bucket while somebody holds
// it and, after that, until it would be full again, up to a bound. The zero value is not
// usable; see NewTable. All methods are safe for concurrent use.
type Table struct {
	// Fixed at birth.
	principal, address *terms

	// The channels that were published to recently, by anybody, approximately: each has one slot,
	// and stays there until another channel with the same slot comes.
	seed   maphash.Seed
	lately []atomic.Uint64 // hash of the last channel in each slot

	// Guarded by mu.
	mu      lock.Mutex[lock.Rates]
	buckets map[key]*Bucket
	let     []*Bucket // released by their last holder, oldest first; each is listed once
}

type key struct {
	user    string
	network netip.Prefix
	all     bool // the bucket of the whole network, not of its anonymous clients
}

// NewTable returns a Table. Each user, and the anonymous clients of each address together, may
// do what principal allows. All clients of an address together may do what address allows.
func NewTable(principal, address Limit) *Table {
	return &Table{
		principal: termsOf(principal), address: termsOf(address), buckets: make(map[key]*Bucket),
		seed: maphash.MakeSeed(), lately: make([]atomic.Uint64, slotsLately),
	}
}

// Own returns a new principal's bucket that is not in the table and not shared.
func (t *Table) Own() *Bucket {
	if t.principal.Limit == (Limit{}) {
		return nil
	}
	return &Bucket{terms: t.principal}
}

// User returns the bucket of a user. The caller must Release it.
func (t *Table) User(user string) *Bucket { return t.hold(key{user: user}, t.principal) }

// Nameless returns the bucket shared by the anonymous clients at an address, or nil if the
// address is not known. The caller must Release it.
func (t *Table) Nameless(network netip.Prefix) *Bucket {
	return t.hold(key{network: network}, t.principal)
}

// Address returns the bucket shared by all clients at an address, or nil if the address is
// not known. The caller must Release it.
func (t *Table) Address(network netip.Prefix) *Bucket {
	return t.hold(key{network: network, all: true}, t.address)
}

// TakeChannel consumes one new channel from each of the buckets, unless somebody with a
// bucket of this table has published to the channel recently. It returns the first bucket
// that has none left, or nil.
func (t *Table) TakeChannel(channel string, of ...*Bucket) (lacking *Bucket) {
	hash := maphash.String(t.seed, channel)
	last := &t.lately[hash%slotsLately]
	if last.Load() == hash {
		return nil
	}
	for _, b := range of {
		if !b.takeNewcomer() {
			return b
		}
	}
	last.Store(hash)
	return nil
}

// slotsLately is large enough that channels in use seldom share a slot. The slots take 512 KiB.
const slotsLately = 1 << 16

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

// Release gives up a bucket. Releasing nil does nothing.
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

// Bounds of the buckets that nobody holds and that are not full yet, however many users and
// addresses come and go.
const (
	MostLet     = 16384
	BucketBytes = 1 << 10 // approximately the most that one bucket takes
)

// dropOldest forgets the oldest released bucket unless it is held again. The caller must hold mu.
func (t *Table) dropOldest() {
	b := t.let[0]
	t.let[0] = nil
	t.let = t.let[1:]
	b.isLet = false
	if b.holders == 0 {
		delete(t.buckets, *b.key)
	}
}

// Sweep forgets the buckets that nobody holds and that are full. The caller calls it
// from time to time.
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
