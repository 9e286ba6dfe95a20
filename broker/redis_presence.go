package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

var _ Presence = (*Redis)(nil)

const (
	attendBatch = 200 // attendances of one pipeline
	keepBatch   = 200 // channels of one script
)

type presenceScripts struct{ attend, keep, members *redis.Script }

func newPresenceScripts() presenceScripts {
	return presenceScripts{redis.NewScript(attendScript), redis.NewScript(keepScript), redis.NewScript(membersScript)}
}

// Attend is documented at Presence.
func (b *Redis) Attend(ctx context.Context, by Attendant, list []Attendance) ([]bool, error) {
	taken := make([]bool, len(list))
	err := b.eachPartition(len(list), func(i int) string { return list[i].Channel }, func(partition int, indexes []int) error {
		for batch := range slices.Chunk(indexes, attendBatch) {
			if err := b.attend(ctx, partition, by, list, batch, taken); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("attend %d channels: %w: %w", len(list), ErrUnavailable, err)
	}
	return taken, nil
}

// attend sends the indexed attendances, all of one partition, in one pipeline,
// and notes which were taken.
func (b *Redis) attend(ctx context.Context, partition int, by Attendant, list []Attendance, indexes []int, taken []bool) error {
	prefix := b.prefixOf(partition)
	return b.ask(ctx, prefix, func(ctx context.Context, client *redis.Client) error {
		pipe := client.Pipeline()
		answers := make([]*redis.Cmd, len(indexes))
		queue := func() {
			for n, i := range indexes {
				answers[n] = b.presence.attend.EvalSha(ctx, pipe, presenceKeys(prefix, list[i].Channel), b.attendArgs(by, list[i])...)
			}
		}
		queue()
		_, err := pipe.Exec(ctx)
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			pipe.ScriptLoad(ctx, attendScript)
			queue()
			_, err = pipe.Exec(ctx)
		}
		for n, i := range indexes {
			answer, _ := answers[n].Int()
			taken[i] = answer == 1
		}
		return err
	})
}

func (b *Redis) attendArgs(by Attendant, a Attendance) []any {
	args := append(b.attendantArgs(by), a.Version, a.After)
	if a.Whole {
		args[len(args)-1] = "whole"
	}
	for _, m := range a.Members {
		args = append(args, m.User, []byte(m.Info), m.Sessions)
	}
	return args
}

// attendantArgs are the first arguments of a presence script.
func (b *Redis) attendantArgs(by Attendant) []any {
	return []any{by.Lease.Milliseconds(), by.Linger.Milliseconds(), b.publishCommand(), by.Node}
}

func presenceKeys(prefix, channel string) []string {
	name := prefix + channel
	return []string{name + presenceSuffix, name + usersSuffix, name + lingeringSuffix}
}

// Keep is documented at Presence.
func (b *Redis) Keep(ctx context.Context, by Attendant, stays []Stay) ([]Standing, error) {
	standings := make([]Standing, len(stays))
	err := b.eachPartition(len(stays), func(i int) string { return stays[i].Channel }, func(partition int, indexes []int) error {
		for batch := range slices.Chunk(indexes, keepBatch) {
			if err := b.keep(ctx, partition, by, stays, batch, standings); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("keep %d channels: %w: %w", len(stays), ErrUnavailable, err)
	}
	return standings, nil
}

// keep sets the standings of the indexed stays, all of one partition.
func (b *Redis) keep(ctx context.Context, partition int, by Attendant, stays []Stay, indexes []int, standings []Standing) error {
	prefix := b.prefixOf(partition)
	args := b.attendantArgs(by)
	var keys []string
	for _, i := range indexes {
		keys = append(keys, presenceKeys(prefix, stays[i].Channel)...)
		args = append(args, stays[i].Version)
	}
	return b.ask(ctx, prefix, func(ctx context.Context, client *redis.Client) error {
		answers, err := b.presence.keep.Run(ctx, client, keys, args...).StringSlice()
		if err != nil {
			return err
		}
		if len(answers) != 2*len(indexes) {
			return errStrangeAnswer
		}
		for n, i := range indexes {
			if standings[i].Position, err = ParsePosition(answers[2*n]); err != nil {
				return err
			}
			standings[i].Known = answers[2*n+1] == "known"
		}
		return nil
	})
}

// Members is documented at Presence.
func (b *Redis) Members(ctx context.Context, channel string) (Roster, error) {
	prefix := b.prefixOf(b.partitionOf(channel))
	var roster Roster
	err := b.ask(ctx, prefix, func(ctx context.Context, client *redis.Client) error {
		reply, err := b.presence.members.Run(ctx, client, presenceKeys(prefix, channel), b.attendantArgs(Attendant{})...).Slice()
		if err == nil {
			roster, err = decodeRoster(reply)
		}
		return err
	})
	if err != nil {
		return Roster{}, fmt.Errorf("members of %q: %w: %w", channel, ErrUnavailable, err)
	}
	return roster, nil
}

// decodeRoster reads the members script's reply: the cursor, then users and
// entries in turn.
func decodeRoster(reply []any) (Roster, error) {
	if len(reply) != 2 {
		return Roster{}, errStrangeAnswer
	}
	cursor, _ := reply[0].(string)
	position, err := ParsePosition(cursor)
	fields, ok := reply[1].([]any)
	if err != nil || !ok || len(fields)%2 != 0 {
		return Roster{}, errStrangeAnswer
	}
	roster := Roster{Position: position, Members: make([]Member, 0, len(fields)/2)}
	for pair := range slices.Chunk(fields, 2) {
		user, _ := pair[0].(string)
		text, _ := pair[1].(string)
		m, err := decodeMember(user, text)
		if err != nil {
			return Roster{}, err
		}
		roster.Members = append(roster.Members, m)
	}
	slices.SortFunc(roster.Members, byUser)
	return roster, nil
}

func byUser(a, b Member) int { return strings.Compare(a.User, b.User) }

func decodeMember(user, text string) (Member, error) {
	var entry struct {
		Info  string
		Nodes map[string]int
	}
	if err := json.Unmarshal([]byte(text), &entry); err != nil {
		return Member{}, fmt.Errorf("presence of %q: %w", user, err)
	}
	m := Member{User: user}
	if entry.Info != "" {
		m.Info = json.RawMessage(entry.Info)
	}
	for _, sessions := range entry.Nodes {
		m.Sessions += sessions
	}
	return m, nil
}

// eachPartition calls do for each partition that some of n channels belong to,
// with the indexes of these, all at once.
func (b *Redis) eachPartition(n int, channel func(int) string, do func(partition int, indexes []int) error) error {
	byPartition := make(map[int][]int)
	for i := range n {
		partition := b.partitionOf(channel(i))
		byPartition[partition] = append(byPartition[partition], i)
	}
	errs := make([]error, len(b.partitions))
	var wait sync.WaitGroup
	for partition, indexes := range byPartition {
		wait.Go(func() { errs[partition] = do(partition, indexes) })
	}
	wait.Wait()
	return errors.Join(errs...)
}
