package broker

import (
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"tidegate/broker/lock"

	"github.com/redis/go-redis/v9"
)

// errReplica says that what a server takes is not sure to be heard or kept.
var errReplica = errors.New("redis is a replica, not a master")

// refusalKinds are the errors of Redis that somebody who runs it has to deal with.
// What else it refuses is of the kind other.
var refusalKinds = []string{
	"NOPERM", "NOAUTH", "WRONGPASS", "OOM", "READONLY", "MISCONF", "LOADING", "NOREPLICAS", "CLUSTERDOWN", "BUSY",
}

// RefusalKinds returns the kinds that RedisObserver.Refused may be told.
func RefusalKinds() []string { return append(slices.Clone(refusalKinds), otherRefusal) }

const otherRefusal = "other"

// dealtWith are errors that the broker knows what to do about.
var dealtWith = []string{"NOSCRIPT", "MOVED", "ASK", "TRYAGAIN", "EXECABORT"}

// refusalKind returns the kind of what Redis has refused, or "".
func refusalKind(err error) string {
	var said redis.Error
	switch {
	case errors.Is(err, errReplica):
		return "READONLY"
	case err == nil, errors.Is(err, redis.Nil), !errors.As(err, &said):
		return ""
	}
	word, _, _ := strings.Cut(said.Error(), " ")
	switch {
	case slices.Contains(refusalKinds, word):
		return word
	case slices.Contains(dealtWith, word):
		return ""
	}
	return otherRefusal
}

// refusals counts what Redis refuses, and logs the first of each kind and then
// seldom.
type refusals struct {
	// Fixed at birth.
	log     *slog.Logger
	observe func(kind string) // may be nil

	// Guarded by mu.
	mu   lock.Mutex[lock.Refusals]
	told map[string]time.Time // by kind, when one was logged last
	more map[string]int       // by kind, those since then
}

const refusalEvery = time.Minute

// note takes an error that may be a refusal, and reports whether it is one.
func (r *refusals) note(err error) bool {
	kind := refusalKind(err)
	if kind == "" {
		return false
	}
	if r.observe != nil {
		r.observe(kind)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if told := r.told[kind]; !told.IsZero() && now.Sub(told) < refusalEvery {
		r.more[kind]++
		return true
	}
	r.log.Error("redis refuses", "kind", kind, "error", err, "since_last", r.more[kind])
	r.told[kind], r.more[kind] = now, 0
	return true
}

// probe finds out, after a publish that failed, whether anything can be published, and
// tells of it until it can. A refusal may be about one channel only; and a Redis that
// does not answer publishes may answer all else. Where it answers nothing the link tells.
func (l *lane) probe() {
	l.publish(Message{Channel: probeChannel}, PublishOptions{HistorySize: 1, HistoryTTL: time.Second}, func(_ Position, err error) {
		switch {
		case err == nil:
			l.broker.board.up(part{l.partition, l})
			l.probing.Store(false)
			return
		case errors.Is(err, errNotRunning):
			return
		}
		if refusalKind(err) != "" || isSilence(err) && l.partition.answersAll() {
			l.broker.board.lost(part{l.partition, l}, err)
		}
		time.AfterFunc(probeEvery, l.probe)
	})
}

// isSilence reports whether err says that Redis has not answered in time.
func isSilence(err error) bool {
	var late net.Error
	return errors.Is(err, errNoAnswer) || errors.As(err, &late) && late.Timeout()
}

// probeChannel has a space in it: no client can name it.
const (
	probeChannel = " probe"
	probeEvery   = time.Second
)

// noteFailures counts what of a batch was refused, and has that looked into, and what was
// not answered.
func (l *lane) noteFailures(batch []*publication) {
	failed := false
	for _, p := range batch {
		if err := p.command.Err(); err != nil && (l.broker.refusals.note(err) || isSilence(err)) {
			failed = true
		}
	}
	if failed && !l.probing.Swap(true) {
		l.probe()
	}
}
