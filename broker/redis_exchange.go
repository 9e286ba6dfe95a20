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

// exchange sends the publications of a lane to the master of the partition. Its methods
// must not be called concurrently.
type exchange struct {
	servers   *servers
	partition *partition
	held      *process      // the connection in use, or nil
	commands  []redis.Cmder // reused memory
	check     *redis.IntCmd // see addCheck
}

// send sends publications in one pipeline. Those that went to the wrong master are sent
// again to the new one. Only these are sent twice, because Redis said that it did not take
// them.
func (e *exchange) send(ctx context.Context, batch []*publication) {
	for attempt := 0; len(batch) > 0; attempt++ {
		e.pipeline(ctx, batch)
		batch = refusedByWrongMaster(batch)
		if len(batch) == 0 || attempt == masterAttempts || !e.servers.findMaster(ctx) {
			return
		}
	}
}

// refusedByWrongMaster returns the publications to be sent to another server.
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
		e.letGo() // go-redis may have closed the connection without telling us
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

// complete fills in what depends on the connection, and collects the commands of the batch.
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

// addCheck appends a check that the server is a master to the pipeline, or returns nil if
// the batch needs none: a replica accepts a PUBLISH like a master. The check deletes a key
// that never exists, which changes nothing but only a master does.
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

// applyCheck fails what was published on a server that is no master. It must not be
// published again: some subscribers may have got it there.
func (e *exchange) applyCheck(check *redis.IntCmd, batch []*publication) {
	if check == nil || check.Err() == nil {
		return
	}
	err := check.Err()
	moved := wrongMaster(err)
	switch {
	case redis.HasErrorPrefix(err, "NOPERM"), redis.HasErrorPrefix(err, "MISCONF"), redis.HasErrorPrefix(err, "ASK"):
		return // only a master, or a possible one, answers so
	case moved:
		err = errReplica
	}
	accepted := false
	for _, p := range batch {
		if !p.script && p.command.Err() == nil {
			p.command.SetErr(err)
			accepted = true
		}
	}
	if moved && accepted { // a master whose slot has moved accepts nothing
		e.servers.topology.renew(e.held.client)
		e.servers.stale()
		e.partition.suspect()
	}
}

// replicasWait is how long replicas have to confirm.
const replicasWait = 500 * time.Millisecond

// askReplicas appends a WAIT to the pipeline for as many replicas as any publication of the
// batch requires. It returns nil if none does.
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

// noteReplicas fails the publications that Redis has accepted but too few replicas have.
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

// eraToldTo returns the era that the last successful append returned, if there is one:
// Redis has then received what the node vouches for.
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

// hold makes sure that e holds a connection to the master of the partition.
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

// unknownScripts returns the publications that Redis refused because it does not know the
// script. It replaces the hash in their commands by the script itself.
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
