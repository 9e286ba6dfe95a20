package main

import "time"

// story is a sequence of faults: the shortest that once lost messages without notice, or
// one of a kind that pairs do not cover.
type story struct {
	name    string
	strikes []strike
}

// after returns a strike at a node. Times are in seconds.
func (m *mishap) after(at float64, node int, lasts float64) strike {
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	return strike{what: m, node: node, at: seconds(at), lasts: seconds(lasts)}
}

var storiesAlone = []story{
	{"a history is evicted while one link is cut, another one slow", []strike{
		linkIsCut.after(0, 0, 3), linkIsSlow.after(0, 1, 3), historyIsLost.after(1.5, 0, 0)}},
	{"SIGSTOP Redis while one link is a black hole, then it is full", []strike{
		linkIsBlack.after(0, 1, 6), redisStands.after(1, 0, 3), redisIsFull.after(4.5, 0, 1)}},
}

// The first story once lost messages of clients that read slowly or that disconnect and resume.
var storiesOfASentinel = []story{
	{"one link is a black hole, maxmemory is reached, another link is cut, a node stalls for longer than its lease", []strike{
		linkIsBlack.after(0, 0, 5), redisIsFull.after(1, 0, 2), nodeStands.after(2, 2, 6), linkIsCut.after(3.5, 1, 3)}},
	{"the master is killed and comes back after 4 s, the next master stalls meanwhile, a link is slow", []strike{
		masterIsKilled.after(0, 0, 4), linkIsSlow.after(0, 1, 6), masterStands.after(1.5, 0, 4)}},
}

var storiesOfACluster = []story{
	{"a replica takes over, then the former master again, while one link is cut and another one slow", []strike{
		linkIsCut.after(0, 0, 5), linkIsSlow.after(0, 1, 5), replicaTakesOver.after(1, 0, 0), replicaTakesOver.after(3, 0, 0)}},
}
