package config

import (
	"os"
	"strings"
	"testing"
)

func TestConfig_WhoMayBeLetIn(t *testing.T) {
	const (
		rules  = "channels: [{match: 'chat:*', subscribe: anyone}]\n"
		APIKey = "auth.api_keys: [{name: shop, key: 0123456789abcdef}]\n"
		secret = "auth.jwt.secret: 0123456789abcdef0123456789abcdef\n"
		redis  = "redis.url: redis://127.0.0.1\n"
		public = "listen: '0.0.0.0:8080'\n"
		wide   = "internal_listen: '0.0.0.0:9080'\n"
	)
	const (
		development = "development"
		production  = "production"
		needsRules  = "channels:"
		needsKey    = "auth:"
		needsBoth   = "channels: auth:"
	)
	for _, c := range []struct{ yaml, want string }{
		{"", development},
		{redis, development},
		{APIKey, development},
		{"listen: 'localhost:8080'", development},
		{"listen: '[::1]:8080'", development},
		{"listen: '127.8.9.10:8080'", development},
		{rules, production},
		{rules + APIKey, production},
		{public, needsBoth},
		{public + redis, needsBoth},
		{"listen: ':8080'", needsBoth},
		{"listen: '[::]:8080'", needsBoth},
		{"listen: '192.0.2.1:8080'", needsBoth},
		{"listen: 'gateway.example:8080'", needsBoth},
		{public + rules, needsKey},
		{public + APIKey, needsRules},
		{public + secret, needsRules},
		{public + rules + APIKey, production},
		{public + rules + secret, production},
		{public + rules + "auth.jwt.jwks_url: https://a.example/jwks", production},
		{public + rules + "auth.jwt.issuer: me", needsKey},
		{wide, needsBoth},
		{wide + rules, needsKey},
		{wide + rules + APIKey, production},
	} {
		t.Run(c.yaml, func(t *testing.T) {
			if got := verdict(read(t, c.yaml, nil)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// verdict returns what serve does with a configuration: the mode, or the names of the
// settings that it requires.
func verdict(c *reading) string {
	c.validate()
	if err := c.problems.err(); err != nil {
		var missing []string
		for line := range strings.Lines(err.Error()) {
			if line = strings.TrimSpace(line); line == "channels:" || line == "auth:" {
				missing = append(missing, line)
			}
		}
		return strings.Join(missing, " ")
	}
	if c.config.Development() {
		return "development"
	}
	return "production"
}

// Clients can use a gateway that has what the error says to add.
func TestConfig_WhatIsMissingLetsClientsIn(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("jwt.secret", []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := read(t, "listen: '0.0.0.0:8080'\n"+new(Config).missingForExposure(), nil)
	c.validate()
	if problems, warnings := c.problems.Error(), c.warnings.Error(); problems != "" || warnings != "" {
		t.Errorf("problems %q, warnings %q", problems, warnings)
	}
}

func TestConfig_WarnsOfWhoMayCome(t *testing.T) {
	const warning = "internal_listen: 0.0.0.0:9080 is reachable from other machines"
	c := read(t, "internal_listen: '0.0.0.0:9080'", nil)
	c.validate()
	if got := c.warnings.Error(); !strings.Contains(got, warning) {
		t.Errorf("warnings %q, want %q", got, warning)
	}
	c = read(t, "trusted_proxies: [127.0.0.1]", nil)
	c.validate()
	if got := c.warnings.Error(); !strings.Contains(got, "trusted_proxies: without channel rules everything is allowed") {
		t.Errorf("warnings %q for development behind a proxy", got)
	}
	c = read(t, "", nil)
	c.validate()
	if got := c.warnings.Error(); got != "" {
		t.Errorf("warnings %q for the defaults, want none", got)
	}
}
