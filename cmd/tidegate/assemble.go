package main

import (
	"log/slog"
	"os"
	"time"

	"tidegate/broker"
	"tidegate/cmd/tidegate/internal/config"
	"tidegate/gateway"
	"tidegate/gateway/auth"
	"tidegate/gateway/pusher"
	"tidegate/gateway/webhook"
	"tidegate/metrics"
)

// newNode binds the listeners and creates everything else. Nothing is served until run is called.
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
	trust.Log, trust.Failed, trust.Panicked = log, n.metrics.Commands.AuthFailures.Count, n.metrics.Panics.Inc
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
	core.Host, _ = os.Hostname() // for operators; the node works without it
	if err := n.trace(&core); err != nil {
		return nil, err
	}
	n.gateway, err = gateway.New(core)
	if err != nil {
		return nil, err
	}
	n.xhr = pusher.NewXHR(n.gateway, &n.apps)
	n.webhooks = pusher.NewWebhooks(n.gateway, &n.apps, log, n.metrics.Webhooks.Requested)
	n.metrics.Commands.AuthFailures.Prepare(auth.FailureLabels()...)
	n.metrics.Webhooks.Prepare("pusher", "taken", "away", "dropped") // a reload may add apps
	n.gateway.SetReceivers(n.webhooks.Receivers())
	return n, n.listen()
}

// newBroker returns the broker, and sets n.history, n.presence and n.register.
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
		Refused:   n.metrics.Broker.Errors.Count,
	}
	n.metrics.Broker.Errors.Prepare(broker.RefusalKinds()...)
	redis, err := broker.NewRedis(c)
	n.history, n.presence, n.register = redis, redis, redis
	return redis, err
}

// newHooks returns the hooks of the backend, or nil if none is configured, and sets n.webhook.
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
