package broker

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

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

// introduce takes a connection from a client's pool and asks who is at its other end. An
// error beside a process is why that does not say which it is.
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

func isReplica(role string) bool { return role == "replica" || role == "slave" }
