package main

import (
	"strings"
	"testing"

	"tidegate/broker/brokertest"
)

// TestServe_WhatAlertsCountBeginsAtZero checks that series exist before their first event,
// because Prometheus sees no increase otherwise.
func TestServe_WhatAlertsCountBeginsAtZero(t *testing.T) {
	t.Parallel()
	redis := brokertest.StartRedis(t)
	n := startReady(t, []string{
		"TIDEGATE_WEBHOOKS_URL=http://127.0.0.1:1/", "TIDEGATE_WEBHOOKS_SECRET=0123456789abcdef",
		"TIDEGATE_WEBHOOKS_EVENTS=connect,disconnect", "TIDEGATE_REDIS_URL=" + redis.URL(),
	})
	_, told := get(t, n.internal("/metrics"))
	for _, series := range []string{
		`tidegate_broker_errors_total{kind="OOM"}`, `tidegate_broker_errors_total{kind="NOPERM"}`, `tidegate_broker_errors_total{kind="other"}`,
		`tidegate_session_refused_total{code="limit_exceeded"}`, `tidegate_session_refused_total{code="internal"}`,
		`tidegate_auth_failures_total{reason="expired"}`, `tidegate_auth_failures_total{reason="unavailable"}`,
		`tidegate_auth_failures_total{reason="banned"}`, `tidegate_auth_failures_total{reason="no_token"}`,
		`tidegate_commands_total{result="forbidden",type="publish"}`, `tidegate_commands_total{result="rate_limited",type="subscribe"}`,
		`tidegate_session_closed_total{reason="slow_consumer"}`,
		`tidegate_webhook_requests_total{event="connect",result="away"}`, `tidegate_webhook_requests_total{event="connect",result="refused"}`,
		`tidegate_webhook_requests_total{event="notices",result="away"}`, `tidegate_webhook_requests_total{event="pusher",result="away"}`,
	} {
		if !strings.Contains(told, "\n"+series+" 0\n") {
			t.Errorf("%s does not begin at 0", series)
		}
	}
}
