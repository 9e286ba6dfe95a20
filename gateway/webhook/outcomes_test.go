package webhook_test

import (
	"slices"
	"testing"

	"tidegate/gateway"
	"tidegate/gateway/webhook"
)

func TestOutcomes(t *testing.T) {
	asks := []gateway.HookEvent{gateway.OnConnect, gateway.OnSubscribe, gateway.OnPublish, gateway.OnRPC}
	for _, event := range gateway.HookEvents() {
		name, results := webhook.Outcomes(event)
		if asked := slices.Contains(asks, event); asked != (name == string(event)) || asked != slices.Contains(results, "refused") || !slices.Contains(results, "away") {
			t.Errorf("%s: %s, %q", event, name, results)
		}
	}
}
