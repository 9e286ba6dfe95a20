package config

import (
	"tidegate/gateway"
	"tidegate/gateway/rules"
	"tidegate/gateway/webhook"
	"tidegate/gateway/websocket"
)

// settings returns the table of all settings, bound to the fields of c.
func (c *Config) settings() []setting {
	return []setting{
		{"listen", "`address` for clients", address(&c.Listen)},
		{"internal_listen", "`address` for metrics, profiles and operators", address(&c.InternalListen)},
		{"log.level", "lowest level that is logged: debug, info, warn or error", logLevel(&c.Log.Level)},
		{"log.format", "text or json", oneOf(&c.Log.Format, "text", "json")},
		{"log.audit", "API-key requests to log: changes (no reads or publishes), all or off", oneOf(&c.Log.Audit, "changes", "all", "off")},
		{"tls.cert_file", "certificate chain of the public listener, PEM", text(&c.TLS.CertFile)},
		{"tls.key_file", "private key of the certificate, PEM", text(&c.TLS.KeyFile)},
		{"redis.url", "redis://, rediss://, redis+sentinel:// or redis+cluster://; empty: in memory", hidden(&c.Redis.URL)},
		{"redis.url_file", "`file` that holds redis.url", text(&c.Redis.URLFile)},
		{"redis.prefix", "prefix of every name in Redis", text(&c.Redis.Prefix)},
		{"redis.tls.ca_file", "CA certificates to trust with rediss, PEM; empty: the system's", text(&c.Redis.TLS.CAFile)},
		{"redis.tls.cert_file", "client certificate for Redis, PEM", text(&c.Redis.TLS.CertFile)},
		{"redis.tls.key_file", "private key of the client certificate, PEM", text(&c.Redis.TLS.KeyFile)},
		{"origins", "origins whose pages may connect, besides the same origin", texts(&c.Origins)},
		{"cors_headers", "request `headers` that pages of other origins may send, besides those that the gateway reads", texts(&c.CORSHeaders)},
		{"trusted_proxies", "`addresses` or networks of proxies whose X-Forwarded-For is trusted", prefixes(&c.TrustedProxies)},
		{"proxy_protocol", "trusted_proxies begin each connection with a PROXY header, v1 or v2", boolean(&c.ProxyProtocol)},
		{"auth.anonymous", "allow clients without a token", boolean(&c.Auth.Anonymous)},
		{"auth.api_keys", "keys of backends: `list` of {name, key or key_file}, and to restrict a key to some channels, {channels, allow: [read, publish]}", list(&c.Auth.APIKeys, (*APIKey).settings)},
		{"auth.api_keys_file", "`file` of backends' keys, one \"name: key\" per line", text(&c.Auth.APIKeysFile)},
		{"auth.jwt.secret", "HMAC secret that verifies clients' tokens", hidden(&c.Auth.JWT.Secret)},
		{"auth.jwt.secret_file", "`file` that holds auth.jwt.secret", text(&c.Auth.JWT.SecretFile)},
		{"auth.jwt.public_key_file", "RSA, ECDSA or Ed25519 public key that verifies clients' tokens, PEM", text(&c.Auth.JWT.PublicKeyFile)},
		{"auth.jwt.jwks_url", "`URL` of the key set (JWKS) that verifies clients' tokens", text(&c.Auth.JWT.JWKSURL)},
		{"auth.jwt.issuer", "required iss of tokens", text(&c.Auth.JWT.Issuer)},
		{"auth.jwt.audience", "required aud of tokens", text(&c.Auth.JWT.Audience)},
		{"auth.jwt.leeway", "clock difference tolerated in exp and nbf", duration(&c.Auth.JWT.Leeway)},
		{"channels", "`list` of channel rules; the first match decides", list((*[]rules.Rule)(&c.Rules), ruleSettings)},
		{"limits.message_bytes", "largest message", size(&c.Limits.MessageBytes)},
		{"limits.outbox_bytes", "most bytes queued for one slow session; the latest message of each channel with conflate is not counted", size(&c.Limits.OutboxBytes)},
		{"limits.outbox_total_bytes", "most bytes queued for all slow sessions of this node", size(&c.Limits.OutboxTotalBytes)},
		{"limits.inbound_bytes", "most bytes held for clients: request bodies, headers for a later question to the webhook, responses, unfinished messages, publishes and subscribes in progress", size(&c.Limits.InboundBytes)},
		{"limits.inbound_bytes_per_ip", "the same for one IPv4 address or IPv6 /64; if not set: a quarter of limits.inbound_bytes", size(&c.Limits.InboundBytesPerIP)},
		{"limits.channels_per_session", "channels of one session", integer(&c.Limits.ChannelsPerSession)},
		{"limits.commands_per_second", "commands of one user, or of one client without a user, over all transports", integer(&c.Limits.CommandsPerSecond)},
		{"limits.bytes_per_second", "payloads, keys and events of one user, or of one client without a user", size(&c.Limits.BytesPerSecond)},
		{"limits.commands_per_second_per_ip", "commands of one IPv4 address or IPv6 /64; if not set: 50 times limits.commands_per_second", integer(&c.Limits.CommandsPerSecondPerIP)},
		{"limits.bytes_per_second_per_ip", "bytes of one IPv4 address or IPv6 /64; if not set: 50 times limits.bytes_per_second", size(&c.Limits.BytesPerSecondPerIP)},
		{"limits.subscriptions", "subscriptions of all sessions of this node; if not set: 8 times limits.sessions", integer(&c.Limits.Subscriptions)},
		{"limits.sessions", "sessions of this node", integer(&c.Limits.Sessions)},
		{"limits.sessions_per_user", "sessions of one user on this node", integer(&c.Limits.SessionsPerUser)},
		{"limits.keys_per_second", "publishes with an idempotency key by this node's clients", integer(&c.Limits.KeysPerSecond)},
		{"limits.new_channels_per_second", "channels with history that this node's clients publish to for the first time in a while", integer(&c.Limits.NewChannelsPerSecond)},
		{"limits.presence_per_second", "joins and leaves of one channel that are announced one by one", integer(&c.Limits.PresencePerSecond)},
		{"limits.sessions_per_ip", "sessions of one IPv4 address or IPv6 /64 on this node; if not set: a tenth of limits.sessions", integer(&c.Limits.SessionsPerIP)},
		{"limits.connections", "HTTP connections of this node, including streams", integer(&c.Connections.Most)},
		{"limits.connections_per_ip", "HTTP connections of one IPv4 address or IPv6 /64, except trusted_proxies; if not set: a tenth of limits.connections", integer(&c.Connections.PerIP)},
		{"limits.connects_per_second", "new sessions of this node", integer(&c.Limits.ConnectsPerSecond)},
		{"compression.enabled", "compress messages for WebSocket clients that support it", boolean(&c.Compression.Enabled)},
		{"compression.min_bytes", "smallest payload that is compressed", size(&c.Compression.MinBytes)},
		{"websocket.engine", "auto, epoll (Linux, without TLS) or portable", oneOf(&c.WebSocket.Engine, websocket.Auto, websocket.Epoll, websocket.Portable)},
		{"centrifuge.path", "base `path` for Centrifuge clients; empty: disabled", text(&c.Centrifuge.Path)},
		{"centrifuge.emulation_path", "`path` to which Centrifuge clients over SSE and HTTP streaming send; empty: disabled", text(&c.Centrifuge.EmulationPath)},
		{"centrifuge.api_path", "base `path` of Centrifuge's server API; empty: disabled", text(&c.Centrifuge.APIPath)},
		{"presence.lease", "time after which the members of a crashed node are removed", duration(&c.Presence.Lease)},
		{"presence.linger", "time that a user may be away before it counts as leaving", duration(&c.Presence.Linger)},
		{"drain.window", "time over which a stopping node disconnects its clients", duration(&c.DrainWindow)},
		{"webhooks.url", "`URL` of the webhook", hidden(&c.Webhooks.URL)},
		{"webhooks.secret", "secret that signs webhook requests", hidden(&c.Webhooks.Secret)},
		{"webhooks.secret_file", "`file` that holds webhooks.secret", text(&c.Webhooks.SecretFile)},
		{"webhooks.events", "`events` sent to the webhook", words(&c.Webhooks.Events, gateway.HookEvents())},
		{"webhooks.timeout", "time allowed for the webhook's answer", duration(&c.Webhooks.Timeout)},
		{"webhooks.when_away", "whether to allow or deny a request when the webhook does not answer", oneOf(&c.Webhooks.WhenAway, webhook.Allow, webhook.Deny)},
		{"pusher.apps", "applications that speak Pusher's protocol: `list` of {id, key, secret or secret_file, prefix, enabled, client_events, tls_only, limits: {event_bytes, connections}, subscription_counts, watchlists, webhooks: [{url, events}]}", list(&c.Pusher.Apps, (*PusherApp).settings)},
		{"tracing.enabled", "export traces of messages to an OpenTelemetry collector", boolean(&c.Tracing.Enabled)},
		{"tracing.endpoint", "`URL` of the collector, such as http://127.0.0.1:4318; empty: OTEL_EXPORTER_OTLP_ENDPOINT", text(&c.Tracing.Endpoint)},
		{"tracing.ratio", "share of publishes to trace, if no backend has decided", share(&c.Tracing.Ratio)},
		{"webhooks.headers", "client `headers` passed to the webhook, such as Cookie", texts(&c.Webhooks.Headers)},
	}
}

// Names returns the names of all settings, such as "redis.url".
func Names() []string { return names(new(Config).settings()) }

// Spellings returns the environment variable and the flag of a setting, such as
// TIDEGATE_REDIS_URL and --redis-url.
func Spellings(name string) (env, flag string) {
	s := setting{name: name}
	return s.env(), "--" + s.flag()
}

func (k *APIKey) settings() []setting {
	return []setting{
		{"name", "", text(&k.Name)},
		{"key", "", hidden(&k.Key)},
		{"key_file", "", text(&k.KeyFile)},
		{"channels", "", texts(&k.Channels)},
		{"allow", "", words(&k.Allow, []Right{Read, Publish})},
	}
}

func ruleSettings(r *rules.Rule) []setting {
	return []setting{
		{"match", "", text(&r.Match)},
		{"subscribe", "", oneOf(&r.Subscribe, classes...)},
		{"publish", "", oneOf(&r.Publish, append(classes[:len(classes):len(classes)], rules.Subscribers)...)},
		{"presence", "", presence(r)},
		{"join_leave", "", boolean(&r.JoinLeave)},
		{"history.size", "", integer(&r.HistorySize)},
		{"history.ttl", "", duration(&r.HistoryTTL)},
		{"history.replicas", "", integer(&r.Replicas)},
		{"conflate", "", boolean(&r.Conflate)},
		{"bare", "", boolean(&r.Bare)},
		{"delay", "", duration(&r.Delay)},
	}
}
