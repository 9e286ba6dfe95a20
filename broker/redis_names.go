package broker

import (
	"strconv"
	"strings"
)

// redisNames maps channels to their names in Redis and to partitions.
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

func (n *redisNames) publishCommand() any {
	if n.clustered {
		return "spublish"
	}
	return "publish"
}
