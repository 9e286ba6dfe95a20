package main

import (
	"time"

	"tidegate/cmd/tidegate/internal/config"
	"tidegate/gateway/auth"
	"tidegate/gateway/console"
)

// workbench is the console's, which there is in development only.
func (n *node) workbench() *console.Workbench {
	return &console.Workbench{Sign: n.signForTrial, Rules: config.ParseRules}
}

// signForTrial makes a token that this gateway accepts, if it verifies by a secret.
func (n *node) signForTrial(client console.Client, ttl time.Duration) (string, error) {
	request := tokenRequest{ttl: ttl, info: string(client.Info), claims: auth.Claims{
		User: client.User, Subscribe: client.Subscribe, Publish: client.Publish, Channels: client.Channels,
	}}
	return request.sign(n.config)
}
