package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/cluster"
	"tidegate/gateway/internal/wall"
	"tidegate/gateway/rules"
	"tidegate/metrics"

	"golang.org/x/time/rate"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/rates"
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
	Version        string           // of this node, told to the others
	Ping           time.Duration    // how often a silent peer is asked for a sign of life; 0: 25 s
	PresenceLease  time.Duration    // a node that is silent for so long is dead; 0: 30 s
	PresenceLinger time.Duration    // within which a user may be back unnoticed; 0: 5 s
	DrainWindow    time.Duration    // over which Shutdown sends the sessions away; 0: 10 s
	Hooks          Hooks            // nil: no backend is asked or told
	Log            *slog.Logger     // nil: none
	Metrics        *metrics.Metrics // nil: of its own
}

// Gateway is one node. All methods may be called concurrently.
type Gateway struct {
	// Fixed at birth.
	broker   broker.Broker
	history  broker.History
	auth     Authenticator
	limits   Limits
	node     string
	lease    time.Duration // of a node
	ping     time.Duration
	window   time.Duration
	mustAuth bool
	log      *slog.Logger
	metrics  *metrics.Metrics
	connects *rate.Limiter
	keys     *rate.Limiter // of clients' publishes: each is remembered for a while
	rates    *rates.Table
	hooks    Hooks
	denying  *denying
	nobody   Principal // the zero one

	sessionsChannel string // of attendance, that stands for this node

	hub        *hub
	cluster    *cluster.Cluster
	attendance *attendance.Attendance // nil: nobody is counted
	wants      broker.Wants           // of it
	anybody    attendance.Who         // who is no member

	sessions   *sessions
	line       *outbox.Line[*Session] // of those to be written to
	outboxes   outbox.Pool
	inbound    budget
	expiring   expiring
	dialects   dialects
	repairs    chan struct{}   // a place in it is the right to read for a repair
	life       context.Context // ends with Run
	end        context.CancelFunc
	wall       *wall.Wall // what a panic is stopped by
	background wall.Group // goroutines that nobody else waits for

	rules    atomic.Pointer[rules.List]
	link     atomic.Pointer[linkState]
	draining atomic.Bool
	endBy    atomic.Int64 // when the node has ended at the latest, in ns since 1970; 0: it goes on
}

type linkState struct{ err error }

var errStarting = errors.New("the broker has not been reached yet")

const concurrentRepairs = 64

// New returns a gateway that takes sessions, but delivers nothing until Run is
// called.
func New(c Config) (*Gateway, error) {
	if err := errors.Join(c.Rules.Validate(), c.Limits.Validate()); err != nil {
		return nil, err
	}
	if c.Broker == nil {
		return nil, errors.New("a gateway needs a broker")
	}
	g := &Gateway{
		broker: c.Broker, history: c.History, auth: c.Auth, limits: c.Limits,
		mustAuth: c.NoAnonymous,
		node:     orElse(c.Node, newName()),
		ping:     orElse(c.Ping, 25*time.Second),
		window:   orElse(c.DrainWindow, 10*time.Second),
		log:      orElse(c.Log, slog.New(slog.DiscardHandler)),
		metrics:  c.Metrics,
		connects: perSecond(c.Limits.ConnectsPerSecond),
		keys:     perSecond(c.Limits.KeysPerSecond),
		rates:    newRates(&c.Limits),
		hooks:    c.Hooks,
		line:     outbox.NewLine((*Session).flush),
		repairs:  make(chan struct{}, concurrentRepairs),
	}
	if g.metrics == nil {
		g.metrics = metrics.New("")
	}
	g.wall = &wall.Wall{Log: g.log, Count: g.metrics.Panics.Inc}
	g.background.Wall = g.wall
	g.life, g.end = context.WithCancel(context.Background())
	g.outboxes.Limit = c.Limits.OutboxBytes
	g.inbound.most = int64(c.Limits.InboundBytes)
	g.sessions = newSessions(max(1, int(g.ping/time.Second)))
	g.hub = newHub(g)
	g.lease = orElse(c.PresenceLease, 30*time.Second)
	g.cluster = newCluster(g, c.Version, g.lease)
	if g.wants = wantsOf(c.Hooks); c.Presence != nil {
		g.attendance = newAttendance(g, c)
	}
	g.denying = newDenying(c.Register)
	g.rules.Store(&c.Rules)
	g.link.Store(&linkState{errStarting})
	g.metrics.Track(
		func() float64 { return float64(g.hub.channels.Load()) },
		func() float64 { return float64(g.hub.subscriptions.Load()) },
		func() float64 { return float64(g.outboxBytes()) },
	)
	prepareSeries(g.metrics)
	return g, nil
}

// prepareSeries makes the series of the closed sets begin at 0.
func prepareSeries(m *metrics.Metrics) {
	for _, reason := range reasons {
		m.Sessions.Prepare(reason.Label)
	}
	m.Commands.Prepare(commandKinds, []string{"ok"})
	for _, result := range []string{"ok", string(Unavailable)} {
		m.Messages.Publish(result)
	}
}

func orElse[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// newName returns a name that nobody else has.
func newName() string { return strings.ToLower(rand.Text()[:16]) }

// Run works until ctx ends; then it closes what sessions there are, waits for
// all that it started and returns nil: within EndPatience, that of Shutdown if it was
// called. Another error is one of the broker's that no reconnect can mend. It is called
// once.
func (g *Gateway) Run(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup
	broken := make(chan error, 1)
	parts.Go(func() { broken <- g.broker.Run(working, g.hub) })
	parts.Go(func() { g.line.Run(working, runtime.GOMAXPROCS(0)) })
	parts.Go(func() { g.keepDoing("look after sessions", working, g.beat) })
	parts.Go(func() { g.keepDoing("look for losses", working, g.checkOften) })
	if g.denying.register != nil {
		parts.Go(func() { g.keepDoing("keep what is forbidden", working, g.followDenials) })
	}
	member, leave := context.WithCancel(working)
	attending, leaveChannels := context.WithCancel(working)
	var statements sync.WaitGroup
	var membership sync.WaitGroup
	membership.Go(func() { g.cluster.Run(member) })
	if g.attendance != nil {
		statements.Go(func() { g.keepDoing("keep attendance", attending, g.attendance.Run) })
	}

	var err error
	select {
	case <-ctx.Done():
	case err = <-broken:
		err = fmt.Errorf("broker: %w", err)
	}
	g.beginEnd(time.Now().Add(EndPatience))
	g.closeAll()
	leaveChannels()
	statements.Wait() // it says who has left, for which this node is still there
	leave()
	membership.Wait() // it says bye, for which the broker must still run
	stop()
	g.end()
	parts.Wait()
	g.background.Wait()
	return err
}

// keepDoing calls run until it returns; after a panic, again.
func (g *Gateway) keepDoing(what string, ctx context.Context, run func(context.Context)) {
	for attempt := 0; !g.wall.Do(what, func() { run(ctx) }); attempt++ {
		if !pause(ctx, backoff(attempt)) {
			return
		}
	}
}

// closeAll ends every session, and waits for a short time until they are gone.
func (g *Gateway) closeAll() {
	defer g.hub.each((*channel).rouseDelayed)
	for _, s := range g.sessions.all() {
		s.Close(Draining)
	}
	select {
	case <-g.sessions.gone():
	case <-time.After(min(endPatience, time.Until(g.lastWord())/4)): // others have to say more
	}
}

// Open registers a session and does its opening commands. What there is to say
// to the client waits until Session.Attach. An error is an *Error, or wraps what
// ErrorOf understands, and there is no session then.
func (g *Gateway) Open(ctx context.Context, hello Hello) (*Session, error) {
	if err := g.checkDraining(); err != nil {
		return nil, err
	}
	if err := g.admitConnect(); err != nil {
		return nil, err
	}
	id, err := idOf(hello.Session)
	if err != nil {
		return nil, err
	}
	s := &Session{
		gateway: g, id: id, key: hello.Key, dialect: g.dialects.of(hello.Protocol, g.wall, g.metrics),
		transport: hello.Transport, home: hello.Channel, alone: hello.Alone || hello.Channel != "", remote: hello.Remote,
		gate: hello.Gate, pinged: hello.Pinged, opened: time.Now(), principal: g.keep(hello.Principal),
	}
	s.address = g.rates.Address(NetworkOf(s.remote))
	s.mostPublishes = hello.Publishes
	if err := g.sessions.add(s, &g.limits); err != nil {
		g.rates.Release(s.address)
		return nil, err
	}
	g.metrics.Sessions.Opened(s.transport, s.dialect.protocol.Name())
	err = g.checkDraining() // who closes all sessions may not have seen this one
	if err == nil {
		err = s.begin(ctx, hello)
	}
	if err != nil {
		if first, _ := s.out.End(Policy.ending(), s.opened); first {
			s.leave(Policy)
		}
		return nil, err
	}
	return s, nil
}

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

func (g *Gateway) checkDraining() error {
	if g.draining.Load() {
		return &Error{Code: Unavailable, Message: "the node is draining: try another one", Reason: Draining}
	}
	return nil
}

// Refuse returns a session that is over, since Open, or who was to fill in hello, has
// failed with err. It is for transports that can tell so in the client's protocol:
// attached to a connection, the session says Goodbye and closes it. It counts as none.
func (g *Gateway) Refuse(hello Hello, err error) *Session {
	s := &Session{
		gateway: g, dialect: g.dialects.of(hello.Protocol, g.wall, g.metrics), transport: hello.Transport, remote: hello.Remote,
		opened: time.Now(), principal: &g.nobody, left: true,
	}
	var reason Reason
	if !errors.As(err, &reason) {
		reason = ErrorOf(err).refusal()
	}
	s.mention(Goodbye{reason})
	s.out.End(reason.ending(), s.opened)
	return s
}

// keep returns a principal for a session to hold, which must not be changed: of
// anonymous ones, all hold the same.
func (g *Gateway) keep(p Principal) *Principal {
	if p.isZero() {
		return &g.nobody
	}
	kept := p
	return &kept
}

func (s *Session) begin(ctx context.Context, hello Hello) error {
	if err := s.gateway.Admit(&hello.Principal, s.remote); err != nil {
		return err // before a backend is asked
	}
	if err := s.spendOpening(&hello); err != nil {
		return err
	}
	p, err := s.introduce(ctx, hello)
	if err != nil {
		return err
	}
	if err := s.become(s.gateway.keep(p)); err != nil {
		return err
	}
	if s.lacksAuth(&p) || hello.AuthFirst {
		s.awaitAuth()
	}
	for _, name := range hello.Channels {
		if err := s.gateway.Authorize(&p, ToSubscribe, name); err != nil {
			return err
		}
	}
	if hello.AuthFirst {
		return nil
	}
	s.tell(s.welcome(ID{}))
	if err := s.joinOwn(ctx); err != nil {
		return err
	}
	if err := s.performAll(ctx, hello.Commands); err != nil {
		return err
	}
	s.register()
	return nil
}

// introduce returns whom the session is to act as. One that must authenticate by
// a first Auth is nobody yet, and the backend is not asked before that.
func (s *Session) introduce(ctx context.Context, hello Hello) (Principal, error) {
	if s.lacksAuth(&hello.Principal) && hello.AuthLater || hello.AuthFirst {
		return hello.Principal, nil
	}
	p, err := s.askConnect(ctx, hello.Principal)
	if err == nil && s.lacksAuth(&p) {
		s.gateway.NoteNoToken()
		err = failf(Unauthenticated, "a token is required")
	}
	return p, err
}

func (s *Session) lacksAuth(p *Principal) bool { return s.gateway.mustAuth && p.anonymous() }

func (g *Gateway) noteClosed(s *Session, reason Reason) {
	g.metrics.Sessions.Closed(s.transport, s.dialect.protocol.Name(), reason.Label)
	if reason.Is(SlowConsumer) {
		g.metrics.Sessions.Slow.Inc()
	}
	g.log.Debug("session closed", "session", s.id, "user", s.who().User, "remote", s.remote,
		"reason", reason.Label, "text", reason.Text, "after", time.Since(s.opened).Round(time.Millisecond))
}

// rule returns the rule of a channel as it stands; it must not be changed.
func (g *Gateway) rule(channel string) *rules.Rule {
	return g.rules.Load().For(channel)
}

// Ready returns nil if the node is fit to take traffic, else why not.
func (g *Gateway) Ready() error {
	if g.draining.Load() {
		return errors.New("draining")
	}
	if err := g.link.Load().err; err != nil {
		return err
	}
	if err := g.denialsKnown(); err != nil {
		return err
	}
	return g.cluster.Joined()
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

func (g *Gateway) outboxBytes() (total int) {
	for _, s := range g.sessions.all() {
		total += s.out.Bytes()
	}
	return total
}
