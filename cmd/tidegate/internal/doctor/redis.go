package doctor

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidegate/broker"
)

const redisPatience = 20 * time.Second

// lookAtRedis examines Redis directly.
func (e *examination) lookAtRedis(ctx context.Context) {
	e.Progress.Say("asking Redis")
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	found, err := broker.InspectRedis(ctx, e.Redis)
	if err != nil {
		e.find(inConfiguration("redis: {url: ...}"), "Redis cannot be queried: %s.", strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	for _, server := range found {
		where := ""
		if len(found) > 1 {
			where = " at " + server.Address
		}
		if len(server.Denied) > 0 {
			e.find([]Cure{{"Redis" + where, e.grant(server.Denied)}}, "This Redis user%s lacks rights that nodes need: %s.", where, strings.Join(server.Denied, ", "))
		} else if server.Refused != nil {
			e.find(cureRefuse, "Redis%s rejects messages: %v.", where, server.Refused)
		}
		e.judgeSettings(server)
	}
}

// grant returns the command that grants the missing rights to a user.
func (e *examination) grant(denied []string) string {
	prefix := cmp.Or(e.Redis.Prefix, broker.DefaultPrefix)
	words := []string{"ACL SETUSER USER", "~" + prefix + "*", "&" + prefix + "*"}
	for _, command := range denied {
		words = append(words, "+"+commandOf(command))
	}
	return strings.Join(words, " ")
}

// commandOf returns the name of a command in an ACL; few names have a subcommand.
func commandOf(command string) string {
	words := strings.Fields(command)
	if slices.Contains([]string{"script", "cluster"}, words[0]) {
		return words[0] + "|" + words[1]
	}
	return words[0]
}

func (e *examination) judgeSettings(server broker.Inspection) {
	settings := server.Settings
	if policy, told := settings["maxmemory-policy"]; told && policy != "noeviction" {
		e.find(cureEvict, "Redis at %s evicts keys when its memory is full (maxmemory-policy %s): histories lose messages silently.", server.Address, policy)
	}
	limits, limited := settings["client-output-buffer-limit"]
	if hard, soft, ok := limitsOfPubSub(limits); ok && (isTight(hard, leastHard) || isTight(soft, leastSoft)) {
		e.find(curePubSub, "Redis at %s disconnects a node with %d bytes queued, or %d for some time (client-output-buffer-limit pubsub): a burst causes gaps.", server.Address, hard, soft)
	}
	if !limited {
		e.pass("output buffers of Redis at %s: this user may not run CONFIG GET; give the URL of a user that may", server.Address)
	}
}

const (
	leastHard = 32 << 20 // the default of Redis
	leastSoft = 8 << 20
)

func isTight(limit, least int) bool { return limit != 0 && limit < least }

// limitsOfPubSub returns the hard and the soft limit of the class pubsub, in bytes. Redis
// returns the limits as "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60".
func limitsOfPubSub(limits string) (hard, soft int, ok bool) {
	_, after, found := strings.Cut(limits, "pubsub ")
	fields := strings.Fields(after)
	if !found || len(fields) < 3 {
		return 0, 0, false
	}
	hard, hardErr := strconv.Atoi(fields[0])
	soft, softErr := strconv.Atoi(fields[1])
	return hard, soft, hardErr == nil && softErr == nil
}
