package main

import (
	"time"

	"tidegate/cmd/tidegate/internal/config"
	"tidegate/gateway/auth"
	"tidegate/gateway/console"
)

// workbench returns the console's workbench, which exists only in development.
func (n *node) workbench() *console.Workbench {
	return &console.Workbench{Sign: n.signForTrial, Rules: config.ParseRules}
}

// signForTrial returns a token that this gateway accepts, provided that it verifies
// tokens by a secret.
func (n *node) signForTrial(client console.Client, ttl time.Duration) (string, error) {
	request := tokenRequest{ttl: ttl, info: string(client.Info), claims: auth.Claims{
		User: client.User, Subscribe: client.Subscribe, Publish: client.Publish, Channels: client.Channels,
	}}
	return request.sign(n.config)
}
