package api

import (
	"log/slog"
	"net/http"
	"tidegate/gateway"
)

// Config configures a Handler. Gateway is required.
type Config struct {
	Gateway     *gateway.Gateway
	NoAnonymous bool              // every request needs a credential
	Anonymous   gateway.Principal // identity of a request without a credential
	Log         *slog.Logger      // may be nil
	Audit       Audit             // which requests with API keys are logged
	Version     string            // of this node, for probes
	Prefix      string            // of the names in Redis, for probes
}

// Audit selects the requests with an API key that are logged. Each gets a line in Config.Log
// with the message "audit": which key did what, from where, and with what result.
type Audit string

const (
	AuditChanges Audit = "changes" // requests that change something, except publishes
	AuditAll     Audit = "all"
	AuditOff     Audit = "off"
)

// Handler serves /api/. It is safe for concurrent use. It must be behind transport.Strict, and
// the server must limit how long a request body may take, with a read deadline.
type Handler struct {
	config  Config
	gateway *gateway.Gateway // the config's
	log     *slog.Logger     // never nil
	mux     *http.ServeMux
}
