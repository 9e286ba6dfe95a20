package config

import (
	"tidegate/gateway"
	"tidegate/gateway/rules"
	"tidegate/gateway/webhook"
	"tidegate/gateway/websocket"
)

// settings returns the table of all names, each bound to its place in c.
func (c *Config) settings() []setting {
	return []setting{
		{"listen", "`address` for clients", address(&c.Listen)},
		{"internal_listen", "`address` for metrics, profiles and operators", address(&c.InternalListen)},
		{"log.level", "debug, info, warn or error", logLevel(&c.Log.Level)},
		{"log.format", "text or json", oneOf(&c.Log.Format, "text", "json")},
		{"log.audit", "requests with an API key that are logged: changes (no reads and no publishes), all or off", oneOf(&c.Log.Audit, "changes", "all", "off")},
		{"tls.cert_file", "certificate chain of the public listener, PEM", text(&c.TLS.CertFile)},
		{"tls.key_file", "its private key, PEM", text(&c.TLS.KeyFile)},
		{"redis.url", "redis://, rediss://, redis+sentinel:// or redis+cluster://; empty: in memory", hidden(&c.Redis.URL)},
		{"redis.url_file", "`file` that holds redis.url", text(&c.Redis.URLFile)},
		{"redis.prefix", "begins every name in Redis", text(&c.Redis.Prefix)},
		{"redis.tls.ca_file", "whom to trust with rediss, PEM; empty: the system's roots", text(&c.Redis.TLS.CAFile)},
		{"redis.tls.cert_file", "certificate to show to Redis, PEM", text(&c.Redis.TLS.CertFile)},
		{"redis.tls.key_file", "its key, PEM", text(&c.Redis.TLS.KeyFile)},
		{"origins", "origins of pages that may connect, beside the same origin", texts(&c.Origins)},
		{"cors_headers", "`headers` that pages of other origins may send, beside those that the gateway reads", texts(&c.CORSHeaders)},
		{"trusted_proxies", "`addresses` or networks whose X-Forwarded-For is believed", prefixes(&c.TrustedProxies)},
		{"proxy_protocol", "trusted_proxies begin a connection with a PROXY header, v1 or v2", boolean(&c.ProxyProtocol)},
		{"auth.anonymous", "clients without a token may connect", boolean(&c.Auth.Anonymous)},
		{"auth.api_keys", "backends: `list` of {name, key or key_file}, and, for some channels alone, {channels, allow: [read, publish]}", list(&c.Auth.APIKeys, (*APIKey).settings)},
		{"auth.api_keys_file", "`file` of backends' keys, a line \"name: key\" for each", text(&c.Auth.APIKeysFile)},
		{"auth.jwt.secret", "HMAC secret of clients' tokens", hidden(&c.Auth.JWT.Secret)},
		{"auth.jwt.secret_file", "`file` that holds auth.jwt.secret", text(&c.Auth.JWT.SecretFile)},
		{"auth.jwt.public_key_file", "RSA, ECDSA or Ed25519 public key of clients' tokens, PEM", text(&c.Auth.JWT.PublicKeyFile)},
		{"auth.jwt.jwks_url", "`URL` of the key set of clients' tokens", text(&c.Auth.JWT.JWKSURL)},
		{"auth.jwt.issuer", "iss that tokens must have", text(&c.Auth.JWT.Issuer)},
		{"auth.jwt.audience", "aud that tokens must have", text(&c.Auth.JWT.Audience)},
		{"auth.jwt.leeway", "clock difference allowed in exp and nbf", duration(&c.Auth.JWT.Leeway)},
		{"channels", "`list` of channel rules, the first match decides", list((*[]rules.Rule)(&c.Rules), ruleSettings)},
		{"limits.message_bytes", "largest message", size(&c.Limits.MessageBytes)},
		{"limits.outbox_bytes", "what may wait for a slow session", size(&c.Limits.OutboxBytes)},
		{"limits.outbox_total_bytes", "what may wait for all slow sessions of this node", size(&c.Limits.OutboxTotalBytes)},
		{"limits.inbound_bytes", "what may be held for clients: bodies, answers, unfinished messages, publishes on their way", size(&c.Limits.InboundBytes)},
		{"limits.inbound_bytes_per_ip", "the same for an IPv4 address or an IPv6 /64; not given: a quarter of limits.inbound_bytes", size(&c.Limits.InboundBytesPerIP)},
		{"limits.channels_per_session", "channels of a session", integer(&c.Limits.ChannelsPerSession)},
		{"limits.commands_per_second", "commands of a user, or of a client without one, over every transport", integer(&c.Limits.CommandsPerSecond)},
		{"limits.bytes_per_second", "payloads, keys and events of a user, or of a client without one", size(&c.Limits.BytesPerSecond)},
		{"limits.commands_per_second_per_ip", "commands of an IPv4 address or an IPv6 /64; not given: 50 times limits.commands_per_second", integer(&c.Limits.CommandsPerSecondPerIP)},
		{"limits.bytes_per_second_per_ip", "bytes of an IPv4 address or an IPv6 /64; not given: 50 times limits.bytes_per_second", size(&c.Limits.BytesPerSecondPerIP)},
		{"limits.subscriptions", "subscriptions of all sessions of this node", integer(&c.Limits.Subscriptions)},
		{"limits.sessions", "sessions of this node", integer(&c.Limits.Sessions)},
		{"limits.sessions_per_user", "sessions of a user on this node", integer(&c.Limits.SessionsPerUser)},
		{"limits.keys_per_second", "publishes of this node's clients that have an idempotency key", integer(&c.Limits.KeysPerSecond)},
		{"limits.new_channels_per_second", "channels with a history to which this node's clients publish and have not lately", integer(&c.Limits.NewChannelsPerSecond)},
		{"limits.presence_per_second", "joins and leaves of a channel that are told one by one", integer(&c.Limits.PresencePerSecond)},
		{"limits.sessions_per_ip", "sessions of an IPv4 address or an IPv6 /64 on this node", integer(&c.Limits.SessionsPerIP)},
		{"limits.connections", "HTTP connections of this node, streams among them", integer(&c.Connections.Most)},
		{"limits.connections_per_ip", "HTTP connections of an IPv4 address or an IPv6 /64, but for trusted_proxies", integer(&c.Connections.PerIP)},
		{"limits.connects_per_second", "new sessions of this node", integer(&c.Limits.ConnectsPerSecond)},
		{"compression.enabled", "compress messages for WebSocket clients that can inflate them", boolean(&c.Compression.Enabled)},
		{"compression.min_bytes", "smallest payload that is compressed", size(&c.Compression.MinBytes)},
		{"websocket.engine", "auto, epoll (Linux, without TLS) or portable", oneOf(&c.WebSocket.Engine, websocket.Auto, websocket.Epoll, websocket.Portable)},
		{"centrifuge.path", "`path` below which Centrifuge clients connect; empty: nowhere", text(&c.Centrifuge.Path)},
		{"centrifuge.emulation_path", "`path` to which Centrifuge clients on SSE and HTTP streaming send; empty: nowhere", text(&c.Centrifuge.EmulationPath)},
		{"centrifuge.api_path", "`path` of the server API as Centrifuge has it; empty: nowhere", text(&c.Centrifuge.APIPath)},
		{"presence.lease", "how soon a crashed node's members are gone", duration(&c.Presence.Lease)},
		{"presence.linger", "how long a user may be away without leaving", duration(&c.Presence.Linger)},
		{"drain.window", "time over which a node that stops sends its clients away", duration(&c.DrainWindow)},
		{"webhooks.url", "`URL` that is asked and told what happens", hidden(&c.Webhooks.URL)},
		{"webhooks.secret", "signs what webhooks are sent", hidden(&c.Webhooks.Secret)},
		{"webhooks.secret_file", "`file` that holds webhooks.secret", text(&c.Webhooks.SecretFile)},
		{"webhooks.events", "`events` that the webhook wants", words(&c.Webhooks.Events, gateway.HookEvents())},
		{"webhooks.timeout", "time for the webhook to answer", duration(&c.Webhooks.Timeout)},
		{"webhooks.when_away", "allow or deny what the webhook does not answer", oneOf(&c.Webhooks.WhenAway, webhook.Allow, webhook.Deny)},
		{"pusher.apps", "applications that speak Pusher's protocol: `list` of {id, key, secret or secret_file, prefix, enabled, client_events, tls_only, limits: {event_bytes, connections}, subscription_counts, watchlists, webhooks: [{url, events}]}", list(&c.Pusher.Apps, (*PusherApp).settings)},
		{"tracing.enabled", "tell an OpenTelemetry collector of messages on their way", boolean(&c.Tracing.Enabled)},
		{"tracing.endpoint", "`URL` of the collector, such as http://127.0.0.1:4318; empty: as OTEL_EXPORTER_OTLP_ENDPOINT says", text(&c.Tracing.Endpoint)},
		{"tracing.ratio", "which part of the publishes is traced, of those that no backend has traced already", share(&c.Tracing.Ratio)},
		{"webhooks.headers", "`headers` of clients that the webhook is shown, such as Cookie", texts(&c.Webhooks.Headers)},
	}
}

// Names returns the names of all settings, such as "redis.url".
func Names() []string { return names(new(Config).settings()) }

// Spellings returns how a setting is called in the environment and as a flag:
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
