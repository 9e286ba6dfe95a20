package config

import (
	"crypto/tls"
	"net"
	"net/url"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"tidegate/broker"
	"tidegate/gateway/auth"
	"tidegate/gateway/websocket"
)

// validate reads the files that the configuration names and records everything that would
// make serve fail, and warnings.
func (c *reading) validate() {
	wellFormed := len(c.problems) == 0
	c.readFiles()
	if len(c.problems) == 0 {
		c.validateTrust()
	}
	c.validateListeners()
	c.validateRedis()
	c.validateOrigins()
	c.validateRules()
	c.validateBounds()
	c.validateWebhooks()
	c.validateTracing()
	c.validateWebSocket()
	c.validateCentrifuge()
	if wellFormed {
		c.validateExposure()
	}
}

// readFiles reads the files that the configuration names.
func (c *reading) readFiles() {
	c.readSecrets("redis.url", "auth.jwt.secret", "webhooks.secret")
	c.readPublicKeys()
	c.readAPIKeys()
	c.readApps()
}

// validateTrust lets package auth check the keys. Its errors begin with the name of the setting.
func (c *reading) validateTrust() {
	c.validatePort("auth.jwt.jwks_url", c.config.Auth.JWT.JWKSURL)
	if _, err := auth.New(c.config.Trust()); err != nil {
		name, _, _ := strings.Cut(err.Error(), " ")
		c.problems = append(c.problems, problem{name, c.at(strings.TrimSuffix(name, ":")), err.Error()})
	}
}

// validateWebhooks lets package webhook check the settings.
func (c *reading) validateWebhooks() {
	ofWebhooks := func(p problem) bool { return strings.HasPrefix(p.path, "webhooks.") }
	if slices.ContainsFunc(c.problems, ofWebhooks) {
		return
	}
	if hooks := c.config.Webhooks; hooks.URL == "" {
		if len(hooks.Events) > 0 {
			c.problem("webhooks.events", "webhooks.url is missing: the events are sent nowhere")
		}
		return
	}
	c.validatePort("webhooks.url", string(c.config.Webhooks.URL))
	config := c.config.Webhooks.Webhook()
	if err := config.Validate(); err != nil {
		name, what, _ := strings.Cut(err.Error(), " ")
		c.problem(name, "%s", what)
	}
}

// validatePort checks the port of a URL. It does not show the URL, which may contain a secret.
func (c *reading) validatePort(path, address string) {
	u, err := url.Parse(address)
	if err != nil || u.Port() == "" {
		return
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
		c.problem(path, "the port is out of range: want 1 to 65535")
	}
}

func (c *reading) validateTracing() {
	endpoint := c.config.Tracing.Endpoint
	u, err := url.Parse(endpoint)
	switch {
	case endpoint == "":
	case !c.config.Tracing.Enabled:
		c.problem("tracing.endpoint", "tracing.enabled is false: nothing is traced")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		c.problem("tracing.endpoint", "want the URL of a collector, such as http://127.0.0.1:4318")
	default:
		c.validatePort("tracing.endpoint", endpoint)
	}
}

func (c *reading) validateCentrifuge() {
	c.validatePath("centrifuge.path", c.config.Centrifuge.Path)
	c.validatePath("centrifuge.emulation_path", c.config.Centrifuge.EmulationPath)
	c.validatePath("centrifuge.api_path", c.config.Centrifuge.APIPath)
	own := []string{"/ws", "/events", "/poll", "/healthz", "/readyz", "/dev"}
	for _, name := range []string{"websocket", "uni_websocket", "sse", "http_stream", "uni_sse", "uni_http_stream"} {
		own = append(own, c.config.Centrifuge.Path+"/"+name)
	}
	if c.config.Centrifuge.Path != "" && slices.Contains(own, c.config.Centrifuge.EmulationPath) {
		c.problem("centrifuge.emulation_path", "%s is another path of the gateway: want one that is free", c.config.Centrifuge.EmulationPath)
	}
}

func (c *reading) validatePath(name, path string) {
	if path != "" && !isPlainPath(path) {
		c.problem(name, "%.64q is not a path: want one such as /connection, or an empty string", path)
	}
}

// isPlainPath reports whether a path can be the prefix of routes: it does not end in a
// slash and has no characters that are special in a route.
func isPlainPath(p string) bool {
	return strings.HasPrefix(p, "/") && p == path.Clean(p) && p != "/" && !strings.ContainsAny(p, " {}?#%")
}

func (c *reading) validateWebSocket() {
	switch {
	case c.config.WebSocket.Engine != websocket.Epoll:
	case runtime.GOOS != "linux":
		c.problem("websocket.engine", "epoll needs Linux: set auto or portable")
	case c.config.TLS.CertFile != "":
		c.problem("websocket.engine", "epoll cannot read TLS: set auto or portable, or leave TLS to a proxy")
	}
}

func (c *reading) validateListeners() {
	if c.config.ProxyProtocol && len(c.config.TrustedProxies) == 0 {
		c.problem("proxy_protocol", "trusted_proxies is empty: name the proxies that send the PROXY header")
	}
	if c.config.Compression.Enabled && c.config.Limits.MessageBytes <= 0 {
		c.problem("compression.enabled", "limits.message_bytes is 0: without a limit one small frame could inflate to any size")
	}
	if _, port, _ := net.SplitHostPort(c.config.Listen); c.config.Listen == c.config.InternalListen && port != "0" {
		c.problem("internal_listen", "%s is also the address of listen: give each its own port", c.config.Listen)
	}
	files := c.config.TLS
	switch {
	case files.CertFile == "" && files.KeyFile == "":
	case files.CertFile == "":
		c.problem("tls.key_file", "tls.cert_file is missing")
	case files.KeyFile == "":
		c.problem("tls.cert_file", "tls.key_file is missing")
	default:
		if _, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile); err != nil {
			c.problem("tls.cert_file", "%v", err)
		}
	}
}

func (c *reading) validateRedis() {
	if c.config.Redis.URL == "" {
		return
	}
	if _, err := broker.NewRedis(c.config.Redis.Broker()); err != nil {
		c.problems = append(c.problems, problem{"redis", c.at("redis.url"), err.Error()})
	}
}

func (c *reading) validateOrigins() {
	for i, origin := range c.config.Origins {
		u, err := url.Parse(strings.ReplaceAll(origin, "*", "0"))
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil) {
			c.problem(element("origins", i), "%q is not an origin: want scheme://host such as https://app.example.com or https://*.example.com", origin)
		}
	}
}

func (c *reading) validateBounds() {
	limits := c.config.Limits
	if lease := c.config.Presence.Lease; lease <= 0 {
		c.problem("presence.lease", "%v is too short: want some seconds, such as 30s", lease)
	}
	for _, one := range c.config.settings() {
		switch {
		case !one.kind.isNegative():
		case strings.HasPrefix(one.name, "limits."):
			c.problem(one.name, "%s is negative: 0 means no limit", one.kind.now)
		default:
			c.problem(one.name, "%s is negative", one.kind.now)
		}
	}
	if limits.OutboxBytes > 0 && limits.OutboxBytes < limits.MessageBytes {
		c.problem("limits.outbox_bytes", "%d is less than limits.message_bytes (%d): the largest message would close its session", limits.OutboxBytes, limits.MessageBytes)
	}
	for path, room := range map[string]int{"limits.inbound_bytes": limits.InboundForClients(), "limits.inbound_bytes_per_ip": limits.InboundBytesPerIP} {
		if room > 0 && room < limits.MessageBytes {
			c.problem(path, "it leaves clients %d, less than limits.message_bytes (%d): the largest message would never fit", room, limits.MessageBytes)
		}
	}
	c.warnOfTooLittle(Descriptors(), machineMemory())
}

// warnOfTooLittle warns of limits that exceed the machine's resources.
func (c *reading) warnOfTooLittle(descriptors int, memory int64) {
	if open := c.config.Limits.Sessions + c.config.Connections.Most; open > descriptors-reserveOf(descriptors) {
		c.warn("limits.sessions", "with limits.connections it allows %d connections, but of the %d file descriptors only %d are for clients: raise the limit (ulimit -n), or lower these",
			open, descriptors, descriptors-reserveOf(descriptors))
	}
	if sum, _ := c.config.Memory().Container(); sum > memory {
		c.warn("limits", "they allow %s of memory, but the machine has %s: tidegate check shows the sum", Size(sum), Size(memory))
	}
}
