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

	"golang.org/x/time/rate"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/wall"
	"tidegate/gateway/rules"
	"tidegate/metrics"
)

// Config configures a Gateway. Only Broker is required; the zero value of any other field
// stands for its default.
type Config struct {
	Broker         broker.Broker
	Presence       broker.Presence // nil: channels have no presence
	History        broker.History  // nil: channels keep no history
	Register       broker.Register // nil: bans and revocations are not possible
	Auth           Authenticator   // nil: tokens are rejected
	Rules          rules.List      // empty: only backends may do anything
	NoAnonymous    bool            // clients must authenticate
	Limits         Limits
	Node           string           // this node's name, never used by another node, past or present; "": a random one
	Host           string           // where this node runs; shown to the other nodes
	Version        string           // of this node's software; shown to the other nodes
	Ping           time.Duration    // how often a silent peer is pinged; 0: 25 s
	PresenceLease  time.Duration    // a node is considered dead after this much silence; 0: 30 s
	PresenceLinger time.Duration    // a user who returns within this time does not count as gone; 0: 5 s
	DrainWindow    time.Duration    // the time over which Shutdown spreads the disconnects; 0: 10 s
	Hooks          Hooks            // nil: no backend is asked or notified
	Tracer         Tracer           // nil: messages are not traced
	Log            *slog.Logger     // nil: nothing is logged
	Metrics        *metrics.Metrics // nil: the gateway creates its own
}

// Gateway is one node. Its methods are safe for concurrent use.
type Gateway struct {
	// Immutable.
	Nodes   *Nodes   // the nodes of the cluster
	Users   *Users   // the users of the whole cluster
	Denials *Denials // bans and revocations
	Budget  *Budget  // what clients may still use

	broker         broker.Broker
	history        broker.History
	auth           Authenticator
	limits         Limits
	node           string
	lease          time.Duration // Config.PresenceLease
	ping           time.Duration
	mustAuth       bool
	log            *slog.Logger
	metrics        *metrics.Metrics
	hooks          Hooks
	tracer         Tracer
	nobody         Principal // the zero Principal
	nothingSpecial special   // the zero special

	sessionsChannel string // the attendance channel that stands for this node

	hub        *hub.Hub
	attendance *attendance.Attendance // nil: there is no presence

	sessions *sessions
	line     *outbox.Line // the outboxes with something to write
	outboxes outbox.Pool
	expiring expiring
	dialects dialects

	confirmations sync.Pool // of *confirmation

	life       context.Context // canceled when Run ends
	end        context.CancelFunc
	wall       *wall.Wall // contains panics
	background wall.Group // goroutines that nothing else waits for

	rules   atomic.Pointer[rules.List]
	notices notices                              // what backends are told
	holds   atomic.Pointer[func(Principal) bool] // the last function passed to DropKeys; nil: none
	link    atomic.Pointer[error]                // why the broker cannot be reached; to nil: it can
	refused rate.Sometimes                       // logs a session over a limit
	drain   drain
}

var errStarting = errors.New("the broker has not been reached yet")

// newName returns a random name that is unique for all practical purposes.
func newName() string { return strings.ToLower(rand.Text()[:16]) }

// idOf returns the ID of a new session: wanted, or a new name if wanted is empty. It returns
// a BadRequest if wanted is not valid.
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

// keep returns a Principal for a session to hold. It must not be modified, because all
// anonymous sessions share one.
func (g *Gateway) keep(p Principal) *Principal {
	if p.isZero() {
		return &g.nobody
	}
	kept := p
	return &kept
}

// RuleOf returns the current rule of a channel.
func (g *Gateway) RuleOf(channel string) rules.Rule { return *g.rule(channel) }

// rule returns the current rule of a channel. The result must not be modified.
func (g *Gateway) rule(channel string) *rules.Rule {
	return g.rules.Load().For(channel)
}

func (g *Gateway) noteLink(err error) {
	was := *g.link.Swap(&err)
	switch {
	case err == nil:
		g.metrics.Broker.Up.Set(1)
		if was != nil {
			g.log.Info("the broker is there")
		}
	default:
		g.metrics.Broker.Up.Set(0)
		if errors.Is(err, context.Canceled) { // the node is shutting down
			return
		}
		if was == nil || was == errStarting || was.Error() != err.Error() {
			g.log.Error("the broker is away: publishes fail until it is back", "error", err)
		}
	}
}

// Wall returns the wall that contains panics caused by clients. Transports run their own
// goroutines behind it, too.
func (g *Gateway) Wall() *wall.Wall { return g.wall }

// Node returns this node's name.
func (g *Gateway) Node() string { return g.node }

// Limits returns the limits that the gateway was created with.
func (g *Gateway) Limits() Limits { return g.limits }
