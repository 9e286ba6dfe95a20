package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/wall"
	"tidegate/gateway/rules"
	"tidegate/metrics"
)

// Config is what a Gateway is made of. Broker is required; the zero value of
// everything else is its default.
type Config struct {
	Broker         broker.Broker
	Presence       broker.Presence // nil: no channel has presence
	History        broker.History  // nil: no channel keeps history
	Register       broker.Register // nil: nothing can be banned or revoked
	Auth           Authenticator   // nil: no token is accepted
	Rules          rules.List      // none: nothing is allowed but to backends
	NoAnonymous    bool            // a client must authenticate
	Limits         Limits
	Node           string           // this node's name, unique in the cluster and in time; "": made up
	Host           string           // where this node runs, told to the others
	Version        string           // of this node, told to the others
	Ping           time.Duration    // how often a silent peer is asked for a sign of life; 0: 25 s
	PresenceLease  time.Duration    // a node that is silent for so long is dead; 0: 30 s
	PresenceLinger time.Duration    // within which a user may be back unnoticed; 0: 5 s
	DrainWindow    time.Duration    // over which Shutdown sends the sessions away; 0: 10 s
	Hooks          Hooks            // nil: no backend is asked or told
	Tracer         Tracer           // nil: nobody traces messages
	Log            *slog.Logger     // nil: none
	Metrics        *metrics.Metrics // nil: of its own
}

// Gateway is one node. All methods may be called concurrently.
type Gateway struct {
	// Fixed at birth.
	Nodes   *Nodes   // of the cluster
	Users   *Users   // of the cluster
	Denials *Denials // what is forbidden
	Budget  *Budget  // what clients may use

	broker         broker.Broker
	history        broker.History
	auth           Authenticator
	limits         Limits
	node           string
	lease          time.Duration // of a node
	ping           time.Duration
	mustAuth       bool
	log            *slog.Logger
	metrics        *metrics.Metrics
	hooks          Hooks
	tracer         Tracer
	nobody         Principal // the zero one
	nothingSpecial special   // the zero one

	sessionsChannel string // of attendance, that stands for this node

	hub        *hub.Hub
	attendance *attendance.Attendance // nil: nobody is counted

	sessions *sessions
	line     *outbox.Line // of those to be written
	outboxes outbox.Pool
	expiring expiring
	dialects dialects

	confirmations sync.Pool // of *confirmation

	life       context.Context // ends with Run
	end        context.CancelFunc
	wall       *wall.Wall // what a panic is stopped by
	background wall.Group // goroutines that nobody else waits for

	rules     atomic.Pointer[rules.List]
	receivers receivers                            // of notices
	holds     atomic.Pointer[func(Principal) bool] // that DropKeys was given last; nil: none
	link      atomic.Pointer[linkState]
	refused   atomic.Int64 // when it was logged that a session is beyond a limit, in s since 1970
	drain     drain
}

type linkState struct{ err error }

var errStarting = errors.New("the broker has not been reached yet")

// newName returns a name that nobody else has.
func newName() string { return strings.ToLower(rand.Text()[:16]) }

// idOf returns the id that a session is given.
func idOf(wanted string) (string, error) {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-"
	switch {
	case wanted == "":
		return newName(), nil
	case len(wanted) > maxSessionID || strings.Trim(wanted, alphabet) != "":
		return "", failf(BadRequest, "the session's id is %.80q: want up to %d letters, digits, dots, dashes and underscores", wanted, maxSessionID)
	}
	return wanted, nil
}

const maxSessionID = 64

// keep returns a principal for a session to hold, which must not be changed: of
// anonymous ones, all hold the same.
func (g *Gateway) keep(p Principal) *Principal {
	if p.isZero() {
		return &g.nobody
	}
	kept := p
	return &kept
}

// RuleOf returns the rule of a channel as it stands.
func (g *Gateway) RuleOf(channel string) rules.Rule { return *g.rule(channel) }

// rule returns the rule of a channel as it stands; it must not be changed.
func (g *Gateway) rule(channel string) *rules.Rule {
	return g.rules.Load().For(channel)
}

func (g *Gateway) noteLink(err error) {
	was := g.link.Swap(&linkState{err}).err
	switch {
	case err == nil:
		g.metrics.Broker.Up.Set(1)
		if was != nil {
			g.log.Info("the broker is there")
		}
	default:
		g.metrics.Broker.Up.Set(0)
		if errors.Is(err, context.Canceled) { // the node ends
			return
		}
		if was == nil || was == errStarting || was.Error() != err.Error() {
			g.log.Error("the broker is away: publishes fail until it is back", "error", err)
		}
	}
}

// Wall returns what stops a panic that a client has brought about: transports put
// their own goroutines behind it, too.
func (g *Gateway) Wall() *wall.Wall { return g.wall }

// Node returns this node's name.
func (g *Gateway) Node() string { return g.node }

// Limits returns the limits that the gateway was made with.
func (g *Gateway) Limits() Limits { return g.limits }
