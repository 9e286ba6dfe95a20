package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/webhook"
)

func TestConfig_Webhooks(t *testing.T) {
	c := read(t, `
webhooks: {url: "https://app.example.com/hook", secret: 0123456789abcdef, events: [connect, member_left], timeout: 500ms, when_away: allow, headers: [Cookie]}
`, nil)
	c.validate()
	if err := c.problems.err(); err != nil {
		t.Fatal(err)
	}
	got := c.config.Webhooks.Webhook()
	if got.URL != "https://app.example.com/hook" || got.Secret != "0123456789abcdef" || got.Timeout != 500*time.Millisecond ||
		got.WhenAway != webhook.Allow || !slices.Equal(got.Headers, []string{"Cookie"}) ||
		!slices.Equal(got.Events, []gateway.HookEvent{gateway.OnConnect, gateway.OnMemberLeft}) {
		t.Errorf("got %+v", got)
	}
	if got := read(t, "", nil).config.Webhooks; got.WhenAway != webhook.Deny || got.Timeout != 2*time.Second {
		t.Errorf("the defaults are %v and %v, want deny and 2s", got.WhenAway, got.Timeout)
	}
}

func TestConfig_WhatWebhooksAndProxiesLack(t *testing.T) {
	for yaml, want := range map[string]string{
		`webhooks: {url: "https://a.example", events: [connect]}`:                             "webhooks.secret",
		`webhooks: {url: "https://a.example", secret: 0123456789abcdef}`:                      "webhooks.events",
		`webhooks: {url: "https://a.example", secret: 0123456789abcdef, events: [conect]}`:    "connect, subscribe, publish",
		`webhooks: {url: "a.example/hunter2", secret: 0123456789abcdef, events: [connect]}`:   "webhooks.url",
		`webhooks: {url: "https://a.example", when_away: maybe}`:                              "allow or deny",
		`webhooks: {url: "https://a.example", events: [connect], secret_file: /no/such/file}`: "webhooks.secret_file",
		`webhooks: {events: [connect]}`:                                                       "webhooks.url is missing",
		`proxy_protocol: true`:                                                                "trusted_proxies is empty",
		"compression: {enabled: true}\nlimits: {message_bytes: 0}":                            "without a limit",
		`limits: {sessions_per_ip: -1}`:                                                       "limits.sessions_per_ip",
		`limits: {outbox_total_bytes: x}`:                                                     "limits.outbox_total_bytes",
	} {
		c := read(t, yaml, nil)
		c.validate()
		err := c.problems.err()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%s: %v, want one problem with %s", yaml, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the problem shows the URL, which may hold a secret: %v", yaml, err)
		}
	}
}
