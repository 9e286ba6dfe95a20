package main

import (
	"tidegate/gateway"
	"tidegate/gateway/auth"
)

// developmentSecret signs the tokens of development, where everything is allowed
// to this machine only, so that "tidegate token --user alice" makes an alice
// without any configuration. It is no secret, and opens nothing elsewhere: with
// rules, or on another address, it is not in force.
const developmentSecret = "development of this machine only: no secret"

// development reports whether everything is allowed: nobody wrote rules, and
// nobody but this machine can connect.
func (c *config) development() bool {
	return len(c.Rules) == 0 && loopback(c.Listen) && loopback(c.InternalListen)
}

// trust returns the keys in force.
func (c *config) trust() auth.Config {
	keys := c.Auth.auth()
	if c.development() && !c.Auth.JWT.given() {
		keys.JWT.Secret = developmentSecret
	}
	return keys
}

// anonymous returns who a request to the API without a credential acts as: in
// development a backend.
func (c *config) anonymous() gateway.Principal {
	if c.development() && len(c.Auth.APIKeys) == 0 {
		return gateway.Principal{Key: "development"}
	}
	return gateway.Principal{}
}
