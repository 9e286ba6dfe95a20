package broker

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// redisNames maps channels to their names in Redis and to partitions.
type redisNames struct {
	prefix    string
	prefixes  []string // of the partitions
	realms    []realm
	clustered bool
}

// realm is a set of channels that share the keys which are not of one channel: all channels
// or, in a Cluster, those of one partition.
type realm struct {
	number int
	prefix string
}

func newRedisNames(prefix string, partitions int, clustered bool) redisNames {
	n := redisNames{prefix: prefix, clustered: clustered}
	for i := range partitions {
		if clustered {
			prefix = n.prefix + "{" + strconv.Itoa(partitionTags[i]) + "}:"
		}
		n.prefixes = append(n.prefixes, prefix)
		if clustered || i == 0 {
			n.realms = append(n.realms, realm{i, prefix})
		}
	}
	return n
}

// cut splits a Redis name: it returns the channel and its partition. ours is false if the
// name is not one that this deployment gives.
func (n *redisNames) cut(name string) (channel string, partition int, ours bool) {
	channel, ours = strings.CutPrefix(name, n.prefix)
	if n.clustered && ours {
		_, channel, ours = strings.Cut(channel, "}:")
	}
	if !ours {
		return "", 0, false
	}
	partition = n.partitionOf(channel)
	return channel, partition, strings.HasPrefix(name, n.prefixes[partition])
}

// partitionOf returns the partition of a channel: its FNV-1a hash modulo the number of
// partitions. The hash ends at the first space, so that whatever belongs to a channel,
// named by the channel, a space and more, is in its partition.
func (n *redisNames) partitionOf(channel string) int {
	hash := uint32(2166136261)
	for i := range len(channel) {
		if channel[i] == ' ' {
			break
		}
		hash = (hash ^ uint32(channel[i])) * 16777619
	}
	return int(hash % uint32(len(n.prefixes)))
}

func (n *redisNames) realmOf(channel string) int { return n.partitionOf(channel) % len(n.realms) }

// inBatches calls do with the indexes below count, in batches of at most size whose channels share
// a realm: concurrently for different realms, and for each until a call fails.
func (n *redisNames) inBatches(count, size int, channel func(int) string, do func(r realm, batch []int) error) error {
	byRealm := make([][]int, len(n.realms))
	for i := range count {
		at := n.realmOf(channel(i))
		byRealm[at] = append(byRealm[at], i)
	}
	some := slices.DeleteFunc(slices.Clone(n.realms), func(r realm) bool { return byRealm[r.number] == nil })
	return eachRealm(some, func(r realm) error {
		for batch := range slices.Chunk(byRealm[r.number], size) {
			if err := do(r, batch); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachRealm calls do for each realm, concurrently.
func eachRealm(realms []realm, do func(realm) error) error {
	errs := make([]error, len(realms))
	var wait sync.WaitGroup
	for i, r := range realms {
		wait.Go(func() { errs[i] = do(r) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (n *redisNames) publishCommand() any {
	if n.clustered {
		return "spublish"
	}
	return "publish"
}
