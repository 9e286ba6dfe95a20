package config

import (
	"strings"
	"testing"
)

func TestGatewayURL_ErrorQuotesNoPassword(t *testing.T) {
	for _, given := range []string{
		"ftp://bob:hunter2@gateway",
		"bob:hunter2@gateway",
		"http://bob:hunter2@gateway:port",
		"http://bob:hunter2%zz@gateway",
		"http://bob:hunter2/@gateway",
	} {
		_, err := GatewayURL(given)
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), DefaultURL) {
			t.Errorf("%q: %v", given, err)
		}
	}
}
