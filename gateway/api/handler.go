package api

import (
	"log/slog"
	"net/http"
	"tidegate/gateway"
)

// Config is what a Handler works with. Gateway is required.
type Config struct {
	Gateway     *gateway.Gateway
	NoAnonymous bool              // every request needs a credential
	Anonymous   gateway.Principal // who a request without one acts as
	Log         *slog.Logger      // nil: none
	Audit       Audit             // what API keys do that is logged
	Version     string            // of this node, for probes
	Prefix      string            // of its names in Redis, for probes
}

// Audit says of which requests with an API key a line is logged, to Config.Log with
// the message "audit": which key did what, from where, and what came of it.
type Audit string

const (
	AuditChanges Audit = "changes" // those that change something, but for publishes
	AuditAll     Audit = "all"
	AuditOff     Audit = "off"
)

// Handler serves /api/. It may be used by any number of requests at once. How
// long a body may take is for the server to say, by a read deadline.
type Handler struct {
	gateway     *gateway.Gateway
	noAnonymous bool
	anonymous   gateway.Principal
	log         *slog.Logger
	audit       Audit
	version     string
	prefix      string
	mux         *http.ServeMux
}
