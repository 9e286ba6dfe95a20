package broker

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"

	"github.com/redis/go-redis/v9"
)

// trust is what this node knows of the Redis process that has the histories of one
// partition. It is what a node can say when Redis itself cannot: that another
// process had them meanwhile, though this one still runs, or that this one has
// been flushed. Each is a doubt: an era that began before the node was sure last has
// to end. All methods may be called concurrently.
type trust struct {
	heard atomic.Bool // a message of a history, which is of some era

	// Guarded by mu.
	mu      lock.Mutex[lock.Trust]
	met     bool
	line    string    // the run_id of the process; "" where it cannot be asked
	losses  int64     // of the broker's links, by then
	era     string    // that the process told last; ""
	sure    time.Time // when it answered last
	doubted time.Time // what began before is in doubt; zero: nothing is
}

// voucher is what a node tells a script of the process that runs it.
type voucher struct {
	line    string
	doubted time.Time
	fresh   string // the era that begins if there is none: all nodes that know as much say the same
	at      time.Time
}

// vouch returns what a script is told over a connection to a process. Where a
// process does not tell who it is, each lost link means that it may be another one.
func (t *trust) vouch(p *process, now time.Time) voucher {
	t.mu.Lock()
	defer t.mu.Unlock()
	other := p.line != t.line || p.line == "" && p.losses != t.losses
	if other && t.met && t.doubted.IsZero() {
		t.doubted = t.sure
	}
	if p.line != t.line {
		t.era = ""
		t.heard.Store(false)
	}
	t.line, t.losses = p.line, p.losses
	before := t.era
	if before == "" && t.heard.Load() {
		before = "unknown"
	}
	return voucher{line: t.line, doubted: t.doubted, fresh: freshEra(t.line, before), at: now}
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
	if v.line != t.line || !v.doubted.Equal(t.doubted) {
		return
	}
	t.met, t.sure, t.doubted = true, now, time.Time{}
	if era != "" && era != t.era {
		t.era = strings.Clone(era)
	}
}

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
func (v voucher) arguments() [3]any {
	doubt := ""
	if !v.doubted.IsZero() {
		doubt = strconv.FormatInt(v.at.Sub(v.doubted).Milliseconds(), 10)
	}
	return [3]any{v.line, doubt, v.fresh}
}

// process is a connection to one Redis process, which has said who it is. It is for
// one user at a time, and for no longer than heldFor after its last use.
type process struct {
	client *redis.Client
	conn   *redis.Conn
	line   string // its run_id; "" if it cannot be asked
	losses int64  // of the broker's links, before it was asked
	used   time.Time
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
	p := &process{client: client, conn: client.Conn(), losses: b.losses.Load(), used: now}
	pipe := p.conn.Pipeline()
	hello, said := pipe.Hello(ctx, 2, "", "", ""), pipe.Info(ctx, "server")
	_, _ = pipe.Exec(ctx)
	if role, _ := hello.Val()["role"].(string); isReplica(role) {
		p.conn.Close()
		b.topology.renew(client)
		return nil, fmt.Errorf("%w: %s", errReplica, client.Options().Addr)
	}
	info, err := said.Result()
	if isLost(err) || redis.HasErrorPrefix(err, "BUSY") {
		p.conn.Close()
		return nil, err
	}
	if p.line = fieldOf(info, "run_id"); p.line == "" {
		b.nameless.Do(func() {
			b.config.Log.Warn("redis does not say which process it is: each lost link counts as a possible loss of history. "+
				"Allow the command INFO", "error", err)
		})
	}
	return p, nil
}

// fieldOf returns a field of what INFO says, or "".
func fieldOf(info, name string) string {
	_, rest, _ := strings.Cut(info, name+":")
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
