package main

import (
	"log/slog"

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
