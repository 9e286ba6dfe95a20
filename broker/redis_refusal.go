package broker

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"tidegate/broker/lock"

	"github.com/redis/go-redis/v9"
)

// refusalKinds are the errors of Redis that its operators must deal with. All other
// refusals are of the kind "other".
var refusalKinds = []string{
	"NOPERM", "NOAUTH", "WRONGPASS", "OOM", "READONLY", "MISCONF", "LOADING", "NOREPLICAS", "CLUSTERDOWN", "BUSY",
}

// RefusalKinds returns all kinds that RedisObserver.Refused may get.
func RefusalKinds() []string { return append(slices.Clone(refusalKinds), otherRefusal) }

const otherRefusal = "other"

// dealtWith are errors that the broker handles itself.
var dealtWith = []string{"NOSCRIPT", "MOVED", "ASK", "TRYAGAIN", "EXECABORT"}

// refusalKind returns the kind of a refusal, or "" if err is none.
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

// refusals counts what Redis refuses. For each kind it logs the first refusal, and then at
// most one every refusalEvery.
type refusals struct {
	// Immutable after construction.
	log     *slog.Logger
	observe func(kind string) // may be nil

	// Guarded by mu.
	mu   lock.Mutex[lock.Refusals]
	told map[string]time.Time // by kind, when one was last logged
	more map[string]int       // by kind, how many since then
}

func newRefusals(log *slog.Logger, observe func(kind string)) *refusals {
	return &refusals{log: log, observe: observe, told: make(map[string]time.Time), more: make(map[string]int)}
}

const refusalEvery = time.Minute

// note counts err if it is a refusal, and reports whether it is one.
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
