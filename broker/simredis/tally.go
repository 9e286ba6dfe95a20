package simredis

import (
	"strings"
	"time"
)

// tally counts equal commands. It is guarded by Server.mu.
type tally struct {
	second  int64          // of package time, to which times belongs
	times   map[string]int // by command
	busiest string         // the command that was sent most often within a second
	most    int
}

func (t *tally) count(command []string, now time.Time) {
	if second := now.Unix(); second != t.second || t.times == nil {
		t.second, t.times = second, make(map[string]int)
	}
	name := strings.Join(command, " ")
	t.times[name]++
	if n := t.times[name]; n > t.most {
		t.busiest, t.most = name, n
	}
}
