package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/pause"
	"tidegate/gateway/internal/rates"
	"tidegate/gateway/internal/wall"
	"tidegate/metrics"
)

// New returns a gateway. It accepts sessions at once, but delivers nothing until Run is
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
		node:     cmp.Or(c.Node, newName()),
		ping:     cmp.Or(c.Ping, 25*time.Second),
		log:      cmp.Or(c.Log, slog.New(slog.DiscardHandler)),
		metrics:  c.Metrics,
		hooks:    c.Hooks,
		tracer:   c.Tracer,
		line:     outbox.NewLine(func(o *outbox.Outbox, buf [][]byte) [][]byte { return o.Owner.(*Session).flush(buf) }),
	}
	if g.metrics == nil {
		g.metrics = metrics.New("")
	}
	g.wall = &wall.Wall{Log: g.log, Count: g.metrics.Panics.Inc}
	g.background.Wall = g.wall
	g.life, g.end = context.WithCancel(context.Background())
	g.refused.Interval = time.Minute
	g.outboxes.Limit = c.Limits.OutboxBytes
	g.dialects.writing = writing{line: g.line, boxes: &g.outboxes, wall: g.wall, metrics: g.metrics}
	g.Budget = newBudget(&g.limits, g.log)
	g.sessions = newSessions(max(1, int(g.ping/time.Second)))
	g.Nodes = &Nodes{budget: g.Budget, log: g.log}
	g.Denials = newDenials(c.Register, g.Nodes, g.metrics, g.sessions.expel)
	g.Users = &Users{nodes: g.Nodes, denials: g.Denials, budget: g.Budget, finding: rates.New(rates.Limit{Reads: mostFinding})}
	g.drain.window = cmp.Or(c.DrainWindow, 10*time.Second)
	g.lease = cmp.Or(c.PresenceLease, 30*time.Second)
	if c.Presence != nil {
		g.attendance = newAttendance(g, c)
		g.notices.node, g.notices.hooks, g.notices.attendance = g.node, g.hooks, g.attendance
		g.notices.setReceivers(nil)
	}
	g.hub = newHub(g)
	g.Nodes.cluster = newCluster(g, &c)
	g.rules.Store(&c.Rules)
	g.link.Store(&errStarting)
	g.metrics.Track(
		func() float64 { return float64(g.hub.Channels()) },
		func() float64 { return float64(g.hub.Subscriptions()) },
		func() float64 { return float64(g.sessions.waiting()) },
		func() float64 { return float64(g.Budget.held.Load()) },
		g.readiness,
	)
	prepareSeries(g.metrics)
	return g, nil
}

func newHub(g *Gateway) *hub.Hub {
	recovery := &g.metrics.Recovery
	var trace hub.Tracer
	if g.tracer != nil {
		trace = g.tracer.Deliver
	}
	return hub.New(hub.Config{
		Broker: g.broker, History: g.history, Attendance: g.attendance, Trace: trace,
		Rule: g.rule, Counts: g.notices.wantCounts,
		Line: g.line, Outboxes: &g.outboxes, Subscriptions: g.limits.Subscriptions,
		Life: g.life, Background: &g.background, Wall: g.wall, Log: g.log,
		Counters: hub.Counters{
			Told: recovery.Told, Repaired: recovery.Repaired,
			Recovered: recovery.Recovered, NotRecovered: recovery.NotRecovered, Reads: recovery.HistoryReads,
		},
	})
}

// prepareSeries creates the metric series of all closed sets of labels, with the value 0.
func prepareSeries(m *metrics.Metrics) {
	for _, reason := range reasons {
		m.Sessions.Ended.Prepare(reason.Label)
	}
	results := []string{"ok"}
	for _, code := range codes {
		results = append(results, string(code))
	}
	m.Sessions.Refused.Prepare(results[1:]...)
	m.Commands.Prepare(commandKinds, results)
	m.Commands.AuthFailures.Prepare(refusedMalformed, refusedUnknownKey, refusedBanned, refusedRevoked, refusedNoToken)
	for _, result := range []string{"ok", string(Unavailable)} {
		m.Messages.Publish(result)
	}
}

// Run runs the gateway until ctx ends. Then it closes all sessions, waits for everything that
// it has started, and returns nil: within EndPatience of ctx's end or, if Shutdown was called,
// of the end of its drain window. Run returns an error if the broker fails in a way that no
// reconnect can repair. It must be called only once.
func (g *Gateway) Run(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup
	broken := make(chan error, 1)
	parts.Go(func() { broken <- g.broker.Run(working, intake{g}) })
	parts.Go(func() { g.line.Run(working, runtime.GOMAXPROCS(0)) })
	parts.Go(func() { g.keepDoing("look after sessions", working, g.beat) })
	parts.Go(func() { g.keepDoing("look for losses", working, g.checkOften) })
	if g.Denials.register != nil {
		parts.Go(func() { g.keepDoing("keep what is forbidden", working, g.Denials.follow) })
	}
	member, leave := context.WithCancel(working)
	attending, leaveChannels := context.WithCancel(working)
	var statements sync.WaitGroup
	var membership sync.WaitGroup
	membership.Go(func() { g.Nodes.cluster.Run(member) })
	if g.attendance != nil {
		statements.Go(func() { g.keepDoing("keep attendance", attending, g.attendance.Run) })
	}

	var err error
	select {
	case <-ctx.Done():
	case err = <-broken:
		err = fmt.Errorf("broker: %w", err)
	}
	g.drain.begin(time.Now().Add(EndPatience))
	g.closeAll()
	leaveChannels()
	statements.Wait() // it tells the broker who has left, while this node still counts as alive
	leave()
	membership.Wait() // it says goodbye to the other nodes, for which the broker must still run
	stop()
	g.end()
	parts.Wait()
	g.background.Wait()
	return err
}

// keepDoing calls run until it returns without a panic, with a backoff after each panic.
func (g *Gateway) keepDoing(what string, ctx context.Context, run func(context.Context)) {
	for attempt := 0; !g.wall.Do(what, func() { run(ctx) }); attempt++ {
		if !pause.For(ctx, pause.Backoff(attempt)) {
			return
		}
	}
}

// closeAll closes every session and waits briefly until they are gone.
func (g *Gateway) closeAll() {
	for _, s := range g.sessions.all() {
		s.Close(Draining)
	}
	patience := min(endPatience, time.Until(g.drain.lastWord())/4) // leave time for the others to finish
	_ = pause.Await(context.Background(), g.sessions.gone(), patience)
}
