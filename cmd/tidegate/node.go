package main

import (
	"log/slog"
	"net/http"

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

// node is a gateway with all its parts and its two listeners.
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
	webhooks *pusher.Webhooks // of the apps
	clock    *clock           // nil unless in development
	webhook  *webhook.Webhook // nil if not configured
	tracer   *tracing.Tracer  // nil if tracing is off

	public, internal listener

	// Set by publicRoutes.
	routes    *http.ServeMux // of the public listener
	webSocket *websocket.Server
}
