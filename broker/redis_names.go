package broker

import (
	"strconv"
	"strings"
)

// redisNames are those that channels have in Redis. Each belongs to a partition.
type redisNames struct {
	prefix    string
	prefixes  []string // of the partitions
	clustered bool
}

func newRedisNames(prefix string, partitions int, clustered bool) redisNames {
	n := redisNames{prefix: prefix, clustered: clustered}
	for i := range partitions {
		if clustered {
			prefix = n.prefix + "{" + strconv.Itoa(partitionTags[i]) + "}:"
		}
		n.prefixes = append(n.prefixes, prefix)
	}
	return n
}

// cut returns the channel that has a Redis name, and its partition.
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

// partitionOf is the FNV-1a hash of the channel, modulo the partitions. What
// belongs to a channel, by its name and more behind a space, is in its partition.
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

// prefixOf is what the name of a channel has before the channel.
func (n *redisNames) prefixOf(channel string) string { return n.prefixes[n.partitionOf(channel)] }

func (n *redisNames) publishCommand() any {
	if n.clustered {
		return "spublish"
	}
	return "publish"
}
