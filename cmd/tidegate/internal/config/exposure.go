package config

import "strings"

// validateExposure refuses a configuration that lets other machines connect without
// rules and a key.
func (c *reading) validateExposure() {
	if !loopback(c.config.InternalListen) {
		c.warn("internal_listen", "%s is reachable from other machines: it serves metrics and profiles; protect it with a firewall or a network policy", c.config.InternalListen)
	}
	if c.config.Development() && len(c.config.TrustedProxies) > 0 {
		c.warn("trusted_proxies", "without channel rules everything is allowed to everyone who comes through these proxies: add rules for the channels")
	}
	path, address := "listen", c.config.Listen
	if loopback(address) {
		path, address = "internal_listen", c.config.InternalListen
	}
	if loopback(address) {
		return
	}
	if missing := c.config.missingForExposure(); missing != "" {
		c.problem(path, "%s is reachable from other machines, which needs rules for the channels and a key. Begin with the file that tidegate init writes, or add to the configuration:\n\n%s", address, strings.TrimSpace(missing))
	}
}

const (
	exampleRules = `channels:
  - match: "chat:*"
    subscribe: authenticated
    publish: authenticated
`
	exampleKey = `auth:
  jwt:
    secret_file: jwt.secret    # made by: openssl rand -hex 32 > jwt.secret
`
)

// missingForExposure returns the settings to add before other machines may connect.
func (c *Config) missingForExposure() string {
	missing := ""
	if len(c.Rules) == 0 {
		missing += exampleRules
	}
	if len(c.Auth.APIKeys) == 0 && !c.Auth.JWT.Given() && len(c.Pusher.Apps) == 0 { // nobody can authenticate
		missing += exampleKey
	}
	return missing
}
