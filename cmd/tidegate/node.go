package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tidegate/broker"
	"tidegate/cmd/tidegate/internal/config"
	"tidegate/cmd/tidegate/internal/tracing"
	"tidegate/gateway"
	"tidegate/gateway/auth"
	"tidegate/gateway/pusher"
	"tidegate/gateway/webhook"
	"tidegate/gateway/websocket"
	"tidegate/metrics"
)

// node is a gateway with all that it stands on, and its two listeners.
type node struct {
	config   *config.Config
	log      *slog.Logger
	metrics  *metrics.Metrics
	auth     *auth.Auth
	history  broker.History
	presence broker.Presence
	register broker.Register
	apps     pusher.Apps
	gateway  *gateway.Gateway
	xhr      *pusher.XHR
	webhooks *pusher.Webhooks // of apps
	clock    *clock           // nil: there is none
	webhook  *webhook.Webhook // nil: there is none
	tracer   *tracing.Tracer  // nil: nobody traces

	startedBy supervisor // set before run

	public, internal listener
	webSocket        *websocket.Server // set by publicRoutes
}

// newNode binds the listeners and makes everything else; nothing works until
// run.
func newNode(c *config.Config, log *slog.Logger) (*node, error) {
	n := &node{config: c, log: log, metrics: metrics.New(versionName())}
	live, err := n.newBroker()
	if err != nil {
		return nil, err
	}
	if c.Development() {
		n.clock = &clock{Broker: live}
		live = n.clock
	}
	trust := c.Trust()
	trust.Log, trust.Failed, trust.Panicked = log, n.metrics.Commands.AuthFailed, n.metrics.Panics.Inc
	if n.auth, err = auth.New(trust); err != nil {
		return nil, err
	}
	if err := n.apps.Set(c.Pusher.List()); err != nil {
		return nil, err
	}
	hooks, err := n.newHooks()
	if err != nil {
		return nil, err
	}
	core := c.Gateway()
	core.Broker, core.History, core.Presence, core.Register = live, n.history, n.presence, n.register
	core.Auth, core.Hooks = n.auth, hooks
	core.Version, core.Log, core.Metrics = versionName(), log, n.metrics
	core.Host, _ = os.Hostname() // for people to know the node by; it works without
	if err := n.trace(&core); err != nil {
		return nil, err
	}
	n.gateway, err = gateway.New(core)
	if err != nil {
		return nil, err
	}
	n.xhr = pusher.NewXHR(n.gateway, &n.apps)
	n.webhooks = pusher.NewWebhooks(n.gateway, &n.apps, log, n.metrics.Webhooks.Requested)
	n.metrics.Commands.PrepareAuth(auth.FailureLabels()...)
	n.metrics.Webhooks.Prepare("pusher", "taken", "away", "dropped") // apps may come at a reload
	n.gateway.SetReceivers(n.webhooks.Receivers())
	return n, n.listen()
}

// newBroker returns the live path, and sets n.history and n.presence.
func (n *node) newBroker() (broker.Broker, error) {
	if n.config.Redis.URL == "" {
		memory := broker.NewMemory()
		n.history, n.presence, n.register = memory, memory, memory
		return memory, nil
	}
	c := n.config.Redis.Broker()
	c.Log = n.log
	c.Observe = broker.RedisObserver{
		RoundTrip: func(d time.Duration) { n.metrics.Broker.RoundTrip.Observe(d.Seconds()) },
		Reconnect: n.metrics.Broker.Reconnects.Inc,
		Panic:     n.metrics.Panics.Inc,
		Refused:   n.metrics.Broker.Refused,
	}
	n.metrics.Broker.Prepare(broker.RefusalKinds()...)
	redis, err := broker.NewRedis(c)
	n.history, n.presence, n.register = redis, redis, redis
	return redis, err
}

// newHooks returns the backend's say, if it wants one, and sets n.webhook.
func (n *node) newHooks() (gateway.Hooks, error) {
	if n.config.Webhooks.URL == "" {
		return nil, nil
	}
	c := n.config.Webhooks.Webhook()
	c.Log, c.Observe = n.log, n.metrics.Webhooks.Requested
	for _, event := range c.Events {
		name, results := webhook.Outcomes(event)
		n.metrics.Webhooks.Prepare(name, results...)
	}
	var err error
	n.webhook, err = webhook.New(c)
	return n.webhook, err
}

func (n *node) listen() (err error) {
	if n.public, err = listen("listen", n.config.Listen, n.config.TLS, n.config.ProxyHeaders(), n.log); err != nil {
		return err
	}
	if n.internal, err = listen("internal_listen", n.config.InternalListen, config.TLS{}, nil, n.log); err != nil {
		n.public.Close()
	}
	return err
}

// run serves until ctx ends, and then drains: it returns nil once every session
// has left. Another error is what ended it before.
func (n *node) run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	parts, working := errgroup.WithContext(life)
	public, internal := n.newServer(n.publicRoutes(), n.publicConnections()), n.newServer(n.internalRoutes(), n.internalConnections())
	parts.Go(func() error { return serveHTTP(public, n.public) })
	parts.Go(func() error { return serveHTTP(internal, n.internal) })
	parts.Go(func() error { return n.gateway.Run(working) })
	parts.Go(func() error { return n.auth.Run(working) })
	parts.Go(func() error { n.tellReady(working); return nil })
	if n.tracer != nil {
		defer n.endTraces()
	}
	if n.webhook != nil {
		defer n.webhook.Close()
	}
	defer n.webhooks.Close()
	if n.clock != nil {
		parts.Go(func() error { return n.clock.run(working, n.gateway) })
	}
	var drained error
	select {
	case <-ctx.Done():
		drained = n.drain(working, public)
	case <-working.Done():
	}
	end()
	closeServers(public, internal)
	n.webSocket.Wait() // while the parts have their last say
	n.xhr.Wait()
	err := parts.Wait()
	return errors.Join(err, drained)
}

// drain sends the sessions to other nodes. Both listeners go on answering
// meanwhile, so that a load balancer sees that this node is not ready.
func (n *node) drain(ctx context.Context, public *http.Server) error {
	n.tellSupervisor("STOPPING=1\nSTATUS=sends its clients away")
	public.SetKeepAlivesEnabled(false)
	var leaving sync.WaitGroup
	defer leaving.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	leaving.Go(func() { n.xhr.Drain(ctx, n.config.DrainWindow) })
	if err := n.gateway.Shutdown(ctx); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

const (
	requestPatience = 300 * time.Millisecond // for requests that are being answered at the end

	headerTimeout  = 10 * time.Second
	requestTimeout = 30 * time.Second // for its body to arrive
	answerTimeout  = 40 * time.Second // for its answer to leave, also one that says that the body has not come
	idleTimeout    = 90 * time.Second // longer than load balancers keep idle connections
	headerBytes    = 32 << 10
)

// newServer returns a server whose requests have deadlines, but for those that
// transport.Stream takes.
func (n *node) newServer(h http.Handler, bounds *connections) *http.Server {
	return &http.Server{
		Handler:           n.contain(h),
		ConnState:         bounds.note,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelWarn),
	}
}

func (n *node) publicConnections() *connections {
	return &connections{
		most: n.config.Connections.Most, perIP: n.config.Connections.PerIP, log: n.log,
		proxies: n.config.TrustedProxies, announced: n.config.ProxyProtocol,
	}
}

// internalConnections leaves a half of the file descriptors that are not for clients
// to Redis.
func (n *node) internalConnections() *connections {
	return &connections{most: config.Reserve() / 2, log: n.log}
}

func serveHTTP(s *http.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func closeServers(servers ...*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), requestPatience)
	defer cancel()
	for _, s := range servers {
		if s.Shutdown(ctx) != nil {
			s.Close()
		}
	}
}
