package broker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// exchange carries the publications of a lane to the partition's master. It is used by
// one goroutine at a time.
type exchange struct {
	servers   *servers
	partition *partition
	held      *process      // nil: none is
	commands  []redis.Cmder // scratch memory
	check     *redis.IntCmd // see addCheck
}

// send sends publications in one pipeline, and again to the new master those
// that were sent to the wrong one. Only these are sent twice: Redis said that it
// did not take them.
func (e *exchange) send(ctx context.Context, batch []*publication) {
	for attempt := 0; len(batch) > 0; attempt++ {
		e.pipeline(ctx, batch)
		batch = refusedByWrongMaster(batch)
		if len(batch) == 0 || attempt == masterAttempts || !e.servers.findMaster(ctx) {
			return
		}
	}
}

// refusedByWrongMaster returns those that another server is to be sent.
func refusedByWrongMaster(batch []*publication) (again []*publication) {
	for _, p := range batch {
		if wrongMaster(p.command.Err()) {
			again = append(again, p)
		}
	}
	return again
}

func (e *exchange) pipeline(ctx context.Context, batch []*publication) {
	start := time.Now()
	if err := e.hold(ctx, start); err != nil {
		for _, p := range batch {
			p.command.SetErr(err)
		}
		return
	}
	vouched := e.partition.vouch(ctx, e.held, start)
	e.complete(batch, vouched)
	pipe := e.held.pipe
	_ = pipe.BatchProcess(ctx, e.commands...)
	check := e.addCheck(ctx, pipe, batch)
	confirmed := askReplicas(ctx, pipe, batch)
	_, err := pipe.Exec(ctx)
	e.applyCheck(check, batch)
	if err != nil {
		e.letGo() // go-redis may have, which the next one would not be told of
		for _, p := range batch {
			if p.command.Val() == nil && p.command.Err() == nil {
				p.command.SetErr(err) // it was not sent
			}
		}
	}
	noteReplicas(batch, confirmed)
	if isLost(err) {
		e.servers.stale()
		return
	}
	if era, ok := eraToldTo(batch); ok {
		e.partition.trust.learn(vouched, era, time.Now())
	}
	e.servers.roundTrip(start)
}

// complete makes commands of a batch, with what the connection decides.
func (e *exchange) complete(batch []*publication, v voucher) {
	var arguments [vouched]any
	e.commands = e.commands[:0]
	for _, p := range batch {
		p.command.SetErr(nil)
		switch {
		case p.script:
			if arguments[0] == nil {
				arguments = v.arguments()
			}
			copy(p.command.Args()[p.vouchedAt():], arguments[:])
		case p.envelope != nil:
			setMark(p.envelope, e.held.mark)
		}
		e.commands = append(e.commands, p.command)
	}
}

// addCheck has the server say behind a pipeline whether it is a master, if it must:
// a replica takes a PUBLISH as a master does. To remove a key that there never is
// changes nothing, and only a master does it.
func (e *exchange) addCheck(ctx context.Context, pipe redis.Pipeliner, batch []*publication) *redis.IntCmd {
	if !slices.ContainsFunc(batch, func(p *publication) bool { return !p.script }) {
		return nil
	}
	e.check.SetErr(nil)
	_ = pipe.Process(ctx, e.check)
	return e.check
}

const checkKey = " check"

func newCheck(prefix string) *redis.IntCmd {
	return redis.NewIntCmd(context.Background(), "del", prefix+checkKey)
}

// applyCheck confirms nothing that was published at a server which is no master. It
// is not published again: some may have heard it there.
func (e *exchange) applyCheck(check *redis.IntCmd, batch []*publication) {
	if check == nil || check.Err() == nil {
		return
	}
	err := check.Err()
	switch {
	case wrongMaster(err):
		err = errReplica
		e.servers.topology.renew(e.held.client)
		e.servers.stale()
		e.partition.suspect()
	case redis.HasErrorPrefix(err, "NOPERM"), redis.HasErrorPrefix(err, "MISCONF"):
		return // only a master, or one that may be
	}
	for _, p := range batch {
		if !p.script && p.command.Err() == nil {
			p.command.SetErr(err)
		}
	}
}

// replicasWait is how long replicas have to confirm.
const replicasWait = 500 * time.Millisecond

// askReplicas asks, behind what was written, how many replicas have it: as many as any
// of the batch wants are waited for. It returns nil if none does.
func askReplicas(ctx context.Context, pipe redis.Pipeliner, batch []*publication) *redis.IntCmd {
	most := 0
	for _, p := range batch {
		most = max(most, p.replicas)
	}
	if most == 0 {
		return nil
	}
	confirmed := redis.NewIntCmd(ctx, "wait", most, replicasWait.Milliseconds())
	_ = pipe.Process(ctx, confirmed)
	return confirmed
}

// noteReplicas fails what Redis has taken, but too few replicas.
func noteReplicas(batch []*publication, confirmed *redis.IntCmd) {
	if confirmed == nil {
		return
	}
	have, err := confirmed.Result()
	for _, p := range batch {
		if p.replicas > 0 && p.command.Err() == nil && (err != nil || int(have) < p.replicas) {
			p.command.SetErr(cmp.Or(err, fmt.Errorf("%d of %d replicas have it", have, p.replicas)))
		}
	}
}

// eraToldTo returns the era that the last append told, if one did: Redis has then
// heard what the node vouches for.
func eraToldTo(batch []*publication) (era string, ok bool) {
	for _, p := range slices.Backward(batch) {
		if !p.script || p.command.Err() != nil {
			continue
		}
		told, err := p.command.Text()
		if _, era, ok = strings.Cut(told, " "); ok && err == nil {
			return era, true
		}
	}
	return "", false
}

// hold sees to it that there is a connection to the partition's master.
func (e *exchange) hold(ctx context.Context, now time.Time) error {
	client, err := e.servers.topology.client(ctx, e.partition.prefix)
	if err != nil {
		return err
	}
	if e.held != nil && e.servers.isFresh(e.held, client, now) {
		e.held.used = now
		return nil
	}
	e.letGo()
	e.held, err = e.servers.meet(ctx, client, now)
	return err
}

func (e *exchange) letGo() {
	if e.held != nil {
		e.held.conn.Close()
		e.held = nil
	}
}

// unknownScripts returns the publications that Redis refused because it does not
// know the script, with the script itself in place of its hash.
func unknownScripts(batch []*publication) []*publication {
	var again []*publication
	for _, p := range batch {
		if err := p.command.Err(); err != nil && p.script && redis.HasErrorPrefix(err, "NOSCRIPT") {
			args := p.command.Args()
			args[0], args[1] = "eval", AppendScript
			again = append(again, p)
		}
	}
	return again
}
