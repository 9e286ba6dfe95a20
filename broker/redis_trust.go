package broker

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"

	"github.com/redis/go-redis/v9"
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

// mastership is a time in which one process was a master without a break.
type mastership struct {
	address string
	asOf    time.Time

	// line is the run_id of the process, its replication id, and how many bytes it has
	// received as a replica, with hyphens between them; "" where it cannot be asked. A
	// process that becomes a master has a new replication id, and others come with the
	// first replica and when the last one has been away for long (repl-backlog-ttl). What
	// it has received stays, unless somebody resets the statistics; Redis 6 does not say.
	line string

	// before is the replication id that the process had when it became a master: its own
	// former one, if it had followed nobody meanwhile; "": it has always been one, or the
	// last replica has been away for long.
	before string
}

// claim is what a script is told of it: a line, and what was before.
func (m mastership) claim() string {
	if m.line == "" {
		return ""
	}
	return m.line + "-" + m.before
}

func (m mastership) run() string {
	run, _, _ := splitLine(m.line)
	return run
}

func (m mastership) id() string {
	_, id, _ := splitLine(m.line)
	return id
}

func (m mastership) received() string {
	_, _, received := splitLine(m.line)
	return received
}

func splitLine(line string) (run, id, received string) {
	run, rest, _ := strings.Cut(line, "-")
	id, received, _ = strings.Cut(rest, "-")
	return run, id, received
}

// continues reports whether m and the time with that line are one, so far as can be
// seen: nothing was replaced by what another master had. The scripts go by the same.
func (m mastership) continues(line string) bool {
	run, id, received := splitLine(line)
	switch {
	case m.run() != run:
		return false
	case m.id() == id || id == "":
		return true // each time that it becomes a master it has another one
	case m.received() != received:
		return false
	default:
		return m.before == id || m.before == "" && received != ""
	}
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

// process is a connection to one Redis process, which has said who it is. It is for
// one user at a time, and for no longer than heldFor after its last use.
type process struct {
	mastership
	replica bool // it is no master: what it says of itself is its master's line
	synced  bool // as a replica: with its master
	client  *redis.Client
	conn    *redis.Conn
	pipe    redis.Pipeliner // of conn
	mark    string          // of what is published there
	uptime  time.Duration
	losses  int64 // of the broker's links, before it was asked
	used    time.Time
}

// heldFor is how long after its last use a connection is held. A pool looks
// whether one that it gives out is sound, and the process is asked again.
const heldFor = time.Second

// fresh reports whether p can be used once more.
func (p *process) fresh(b *Redis, client *redis.Client, now time.Time) bool {
	return p.client == client && p.losses == b.losses.Load() && now.Sub(p.used) <= heldFor
}

// meet takes a connection from a client's pool and asks who is at its other end,
// which must be a master.
func (b *Redis) meet(ctx context.Context, client *redis.Client, now time.Time) (*process, error) {
	losses := b.losses.Load()
	p, err := introduce(ctx, client)
	switch {
	case p == nil:
		return nil, err
	case p.replica:
		p.conn.Close()
		b.topology.renew(client)
		return nil, fmt.Errorf("%w: %s", errReplica, p.address)
	case p.line == "":
		b.nameless.Do(func() {
			b.config.Log.Warn("redis does not say which process it is: each lost link counts as a possible loss of history. "+
				"Allow the command INFO", "error", err)
		})
	}
	p.losses, p.used = losses, now
	return p, nil
}

// introduce is meet for any server. An error beside a process is why that does not say
// which it is.
func introduce(ctx context.Context, client *redis.Client) (*process, error) {
	p := &process{client: client, conn: client.Conn()}
	p.address, p.asOf = client.Options().Addr, time.Now()
	p.pipe = p.conn.Pipeline()
	pipe := p.pipe
	hello := pipe.Hello(ctx, 2, "", "", "")
	server, replication, stats := pipe.Info(ctx, "server"), pipe.Info(ctx, "replication"), pipe.Info(ctx, "stats")
	_, _ = pipe.Exec(ctx)
	role, _ := hello.Val()["role"].(string)
	p.replica, p.synced = isReplica(role), fieldOf(replication.Val(), "master_link_status") == "up"
	err := cmp.Or(server.Err(), replication.Err(), stats.Err())
	if isLost(err) || redis.HasErrorPrefix(err, "BUSY") {
		p.conn.Close()
		return nil, err
	}
	if run := fieldOf(server.Val(), "run_id"); run != "" {
		p.line = strings.Join([]string{run, fieldOf(replication.Val(), "master_replid"), fieldOf(stats.Val(), "total_net_repl_input_bytes")}, "-")
		if before := fieldOf(replication.Val(), "master_replid2"); strings.Trim(before, "0") != "" {
			p.before = before
		}
	}
	p.mark = markOf(p.run())
	seconds, _ := strconv.Atoi(fieldOf(server.Val(), "uptime_in_seconds"))
	p.uptime = time.Duration(seconds) * time.Second
	return p, err
}

// fieldOf returns a field of what INFO says, or "".
func fieldOf(info, name string) string {
	_, rest, _ := strings.Cut("\n"+info, "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// processes are those that read history and are not being used. All methods may be
// called concurrently.
type processes struct {
	mu   lock.Mutex[lock.Processes]
	idle []*process
}

// take returns a process that a client is connected to.
func (b *Redis) take(ctx context.Context, client *redis.Client) (*process, error) {
	now := time.Now()
	if p := b.readers.take(b, client, now); p != nil {
		return p, nil
	}
	return b.meet(ctx, client, now)
}

func (l *processes) take(b *Redis, client *redis.Client, now time.Time) (found *process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.idle[:0]
	for _, p := range l.idle {
		switch {
		case found == nil && p.fresh(b, client, now):
			found = p
		case p.fresh(b, p.client, now):
			kept = append(kept, p)
		default:
			p.conn.Close()
		}
	}
	clear(l.idle[len(kept):])
	l.idle = kept
	return found
}

// give hands back what take returned, when err is what came of its use.
func (l *processes) give(p *process, err error) {
	if err != nil {
		p.conn.Close()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p.used = time.Now()
	l.idle = append(l.idle, p)
}
