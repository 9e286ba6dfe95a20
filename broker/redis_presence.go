package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	attendBatch = 100 // channels per call of the script
	lookBatch   = 500
	buryBatch   = 100
	putBatch    = 100
)

// redisPresence implements Presence in Redis.
type redisPresence struct {
	servers *servers
	taken   sync.Map                // the *uint64 of lastTaken by takenKey
	rosters flights[string, Roster] // by channel
}

// Attend implements Presence.
func (p *redisPresence) Attend(ctx context.Context, by Attendant, list []Attendance) ([]bool, error) {
	taken := make([]bool, len(list))
	err := p.servers.inBatches(len(list), attendBatch, func(i int) string { return list[i].Channel }, func(r realm, batch []int) error {
		return p.attend(ctx, r, by, list, batch, taken)
	})
	if err != nil {
		return taken, fmt.Errorf("attend %d channels: %w: %w", len(list), ErrUnavailable, err)
	}
	return taken, nil
}

// attend states the attendances at indexes, which are all of one realm.
func (p *redisPresence) attend(ctx context.Context, r realm, by Attendant, list []Attendance, indexes []int, taken []bool) error {
	known := p.lastTaken(by.Node, r)
	keys, args := append(r.keys(), r.prefix+onKey+by.Node), append(p.attendantArgs(by), *known)
	for _, i := range indexes {
		a := &list[i]
		after := strconv.FormatUint(a.After, 10)
		switch {
		case a.Whole:
			after = "whole"
		case a.AtLeast:
			after += "+"
		}
		keys = append(keys, r.hash(a.Channel))
		args = append(args, a.Channel, by.letters(a.Channel), a.Version, after, a.Sessions, len(a.Members))
		for _, m := range a.Members {
			args = append(args, m.field(), m.User, []byte(m.Info), onOneLine(m.Elsewhere), m.Sessions)
		}
	}
	return p.servers.ask(ctx, r.number, func(ctx context.Context, client *redis.Client) error {
		answers, err := attendScript.Run(ctx, client, keys, args...).Int64Slice()
		if err == nil && len(answers) != len(indexes) {
			err = errStrangeAnswer
		}
		if err != nil {
			return err
		}
		for n, i := range indexes {
			if taken[i] = answers[n] == 1; taken[i] {
				*known = list[i].Version
			}
		}
		return nil
	})
}

type takenKey struct {
	node  string
	realm int
}

// lastTaken returns the last version of which a node knows that Redis has taken it. If Redis
// knows only an older one, it has lost data. The version belongs to the node, whose calls do not
// overlap.
func (p *redisPresence) lastTaken(node string, r realm) *uint64 {
	last, _ := p.taken.LoadOrStore(takenKey{node, r.number}, new(uint64))
	return last.(*uint64)
}

// attendantArgs returns the first arguments of a presence script.
func (p *redisPresence) attendantArgs(by Attendant) []any {
	return []any{by.Lease.Milliseconds(), by.Linger.Milliseconds(), p.servers.publishCommand(), by.Node, by.room()}
}

// Keep implements Presence.
func (p *redisPresence) Keep(ctx context.Context, by Attendant, version uint64) (Standing, error) {
	all := make([]kept, len(p.servers.realms))
	err := eachRealm(p.servers.realms, func(r realm) (err error) {
		k := &all[r.number]
		if *k, err = p.keep(ctx, r, by, version); err == nil {
			err = p.endWhatIsOver(ctx, r, by, k)
		}
		return err
	})
	var standing Standing
	for _, k := range all {
		if k.next > 0 && (standing.Next == 0 || k.next < standing.Next) {
			standing.Next = k.next
		}
		standing.Forgot = max(standing.Forgot, k.since)
	}
	standing.Since = func(channel string) uint64 { return all[p.servers.realmOf(channel)].since }
	if err != nil {
		return standing, fmt.Errorf("keep presence: %w: %w", ErrUnavailable, err)
	}
	return standing, nil
}

// kept is the result of the keep script for a realm.
type kept struct {
	since     uint64
	next      time.Duration // 0 if nobody lingers
	dead      []string
	lingering []string // those whose linger has ended
}

func (p *redisPresence) keep(ctx context.Context, r realm, by Attendant, version uint64) (k kept, err error) {
	err = p.servers.ask(ctx, r.number, func(ctx context.Context, client *redis.Client) error {
		known := p.lastTaken(by.Node, r)
		reply, err := keepScript.Run(ctx, client, r.keys(), append(p.attendantArgs(by), *known, version)...).Slice()
		if err != nil {
			return err
		}
		if len(reply) != 4 {
			return errStrangeAnswer
		}
		k.since, k.next = uint64(number(reply[0])), time.Duration(max(number(reply[1]), 0))*time.Millisecond
		k.dead, k.lingering = texts(reply[2]), texts(reply[3])
		*known = version
		return nil
	})
	return k, err
}

// Attended implements Presence.
func (p *redisPresence) Attended(ctx context.Context, by Attendant) ([]string, error) {
	all := make([][]string, len(p.servers.realms))
	err := eachRealm(p.servers.realms, func(r realm) (err error) {
		all[r.number], err = p.attended(ctx, r, by)
		return err
	})
	if err != nil {
		err = fmt.Errorf("read where a node is: %w: %w", ErrUnavailable, err)
	}
	return slices.Concat(all...), err
}

// attended reads in small steps, so that nobody else has to wait for long.
func (p *redisPresence) attended(ctx context.Context, r realm, by Attendant) (channels []string, err error) {
	for at, more := uint64(0), true; more && err == nil; more = at != 0 {
		err = p.servers.ask(ctx, r.number, func(ctx context.Context, client *redis.Client) error {
			page, next, err := client.SScan(ctx, r.prefix+onKey+by.Node, at, "", lookBatch).Result()
			channels, at = append(channels, page...), next
			return err
		})
	}
	return channels, err
}

// Look implements Presence.
func (p *redisPresence) Look(ctx context.Context, channels []string) (map[string]Position, error) {
	var mu sync.Mutex // guards newest
	newest := make(map[string]Position, len(channels))
	err := p.servers.inBatches(len(channels), lookBatch, func(i int) string { return channels[i] }, func(r realm, batch []int) error {
		at, err := p.look(ctx, r, channels, batch)
		mu.Lock()
		defer mu.Unlock()
		for n := range at {
			newest[channels[batch[n]]] = at[n]
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("look at presence: %w: %w", ErrUnavailable, err)
	}
	return newest, err
}

// look reads the positions of the channels at indexes, which are all of one realm.
func (p *redisPresence) look(ctx context.Context, r realm, channels []string, indexes []int) (at []Position, err error) {
	var keys []string
	for _, i := range indexes {
		keys = append(keys, r.hash(channels[i]))
	}
	err = p.servers.ask(ctx, r.number, func(ctx context.Context, client *redis.Client) error {
		cursors, err := lookScript.Run(ctx, client, keys).StringSlice()
		if err == nil && len(cursors) != len(indexes) {
			err = errStrangeAnswer
		}
		if err != nil {
			return err
		}
		at = make([]Position, len(cursors))
		for n, cursor := range cursors {
			if at[n], err = ParsePosition(cursor); err != nil {
				return errStrangeAnswer
			}
		}
		return nil
	})
	return at, err
}

// endWhatIsOver ends lingers that have run out, and removes dead nodes.
func (p *redisPresence) endWhatIsOver(ctx context.Context, r realm, by Attendant, k *kept) error {
	if err := p.endLingers(ctx, r, by, k.lingering); err != nil {
		return err
	}
	for _, node := range k.dead {
		if err := p.bury(ctx, r, by, node); err != nil {
			return err
		}
	}
	return nil
}

func (p *redisPresence) endLingers(ctx context.Context, r realm, by Attendant, lingering []string) error {
	if len(lingering) == 0 {
		return nil
	}
	keys, args := r.keys(), p.attendantArgs(by)
	for _, l := range lingering {
		channel, what, _ := strings.Cut(l, " ")
		keys = append(keys, r.hash(channel))
		args = append(args, channel, by.letters(channel), what)
	}
	return p.servers.ask(ctx, r.number, func(ctx context.Context, client *redis.Client) error {
		return ignoreNil(lingerScript.Run(ctx, client, keys, args...).Err())
	})
}

func ignoreNil(err error) error {
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}

// bury removes a dead node from all its channels, in small steps, so that nobody else has
// to wait for long.
func (p *redisPresence) bury(ctx context.Context, r realm, by Attendant, node string) error {
	by.Node = node
	on := r.prefix + onKey + node
	for more := true; more; {
		err := p.servers.ask(ctx, r.number, func(ctx context.Context, client *redis.Client) error {
			channels, err := client.SRandMemberN(ctx, on, buryBatch).Result()
			if err == nil {
				err = p.buryOn(ctx, client, r, by, on, channels)
			}
			more = len(channels) == buryBatch
			return err
		})
		if errors.Is(err, errLives) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errLives = errors.New("the node is alive again")

// buryOn removes a dead node from some channels. It returns errLives if the node is not
// dead.
func (p *redisPresence) buryOn(ctx context.Context, client *redis.Client, r realm, by Attendant, on string, channels []string) error {
	for at := "0"; ; {
		keys, args := append(r.keys(), on), append(p.attendantArgs(by), at)
		for _, channel := range channels {
			keys, args = append(keys, r.hash(channel)), append(args, channel, by.letters(channel))
		}
		reply, err := buryScript.Run(ctx, client, keys, args...).Slice()
		if err != nil {
			return err
		}
		if len(reply) != 2 || int(number(reply[0])) > len(channels) {
			return errStrangeAnswer
		}
		done := number(reply[0])
		if done < 0 {
			return errLives
		}
		channels = channels[done:]
		if at, _ = reply[1].(string); len(channels) == 0 {
			return nil
		}
	}
}

// Members implements Presence. Those who ask for a channel at the same time share one read.
func (p *redisPresence) Members(ctx context.Context, channel string) (Roster, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	roster, err := p.rosters.do(ctx, channel, func() (Roster, error) { return p.readMembers(channel) })
	if err != nil {
		return Roster{}, fmt.Errorf("members of %q: %w: %w", channel, ErrUnavailable, err)
	}
	return roster, nil
}

func (p *redisPresence) readMembers(channel string) (roster Roster, err error) {
	r := p.servers.realms[p.servers.realmOf(channel)]
	err = p.servers.ask(context.Background(), r.number, func(ctx context.Context, client *redis.Client) error {
		fields, err := client.Do(ctx, "hgetall", r.hash(channel)).StringSlice() // HGetAll would build a map
		if err == nil {
			roster, err = decodeRoster(fields)
		}
		return err
	})
	return roster, err
}

// keys returns the first keys of a presence script.
func (r realm) keys() []string {
	return []string{r.prefix + aliveKey, r.prefix + lingeringKey, r.prefix + noticesKey, r.prefix + droppedKey}
}

func (r realm) hash(channel string) string { return r.prefix + channel + presenceSuffix }

// texts returns the strings of a reply that is an array.
func texts(reply any) []string {
	list, _ := reply.([]any)
	all := make([]string, len(list))
	for i := range list {
		all[i], _ = list[i].(string)
	}
	return all
}

// number returns the number in a reply, which may be an integer or a string.
func number(reply any) int64 {
	switch n := reply.(type) {
	case int64:
		return n
	case string:
		value, _ := strconv.ParseInt(n, 10, 64)
		return value
	}
	return 0
}
