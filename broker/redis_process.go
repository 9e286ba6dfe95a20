package broker

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// mastership is a period in which one process was a master without a break.
type mastership struct {
	address string
	asOf    time.Time

	line // zero if the process cannot be asked

	// before is the replication id that the process had when it became a master: its own
	// former one if it had followed nobody in between. It is "" if the process has always
	// been a master, or if its last replica has been away for long.
	before string
}

// line tells apart the times for which a process is a master. A process that becomes a
// master gets a new replication id. It also gets one with its first replica, and when its
// last replica has been away for long (repl-backlog-ttl).
type line struct {
	run      string // run_id of the process
	id       string // its replication id
	received string // number of bytes received as a replica; "" in Redis 6. It stays unless the statistics are reset
}

// String returns what is kept of l in Redis.
func (l line) String() string {
	if l == (line{}) {
		return ""
	}
	return l.run + "-" + l.id + "-" + l.received
}

// claim returns what a script is told of m: line and before.
func (m mastership) claim() string {
	if m.line == (line{}) {
		return ""
	}
	return m.line.String() + "-" + m.before
}

// continues reports whether m and the mastership with the given line are the same, as far
// as can be seen: the data was never replaced by that of another master. The scripts use
// the same rules.
func (m mastership) continues(l line) bool {
	switch {
	case m.run != l.run:
		return false
	case m.id == l.id || l.id == "":
		return true // each time a process becomes a master it gets another one
	case m.received != l.received:
		return false
	default:
		return m.before == l.id || m.before == "" && l.received != ""
	}
}

// process is a connection to one Redis process that has been identified. It has one user at
// a time, and must not be used later than heldFor after its last use.
type process struct {
	mastership
	replica bool // it is not a master, and line is that of its master
	synced  bool // as a replica: it is connected to its master
	client  *redis.Client
	conn    *redis.Conn
	pipe    redis.Pipeliner // of conn
	mark    string          // of envelopes published there; see markOf
	uptime  time.Duration
	losses  int64 // of the broker's links, before it was asked
	used    time.Time
}

// heldFor is how long a connection may be kept after its last use. The pool checks a
// connection before it hands it out, and the process is then asked again.
const heldFor = time.Second

// introduce takes a connection from the pool of client and asks the process at the other
// end who it is. If it returns both a process and an error, the process works but may not be
// asked who it is, because of the error.
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
	if err != nil && !isForbidden(err) {
		p.conn.Close()
		return nil, err
	}
	if run := fieldOf(server.Val(), "run_id"); run != "" {
		p.line = line{run, fieldOf(replication.Val(), "master_replid"), fieldOf(stats.Val(), "total_net_repl_input_bytes")}
		if before := fieldOf(replication.Val(), "master_replid2"); strings.Trim(before, "0") != "" {
			p.before = before
		}
	}
	p.mark = markOf(p.run)
	seconds, _ := strconv.Atoi(fieldOf(server.Val(), "uptime_in_seconds"))
	p.uptime = time.Duration(seconds) * time.Second
	return p, err
}

// fieldOf returns a field of the reply to INFO, or "".
func fieldOf(info, name string) string {
	_, rest, _ := strings.Cut("\n"+info, "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

func isReplica(role string) bool { return role == "replica" || role == "slave" }
