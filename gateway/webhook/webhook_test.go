package webhook_test

import (
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/webhook"
)

// The expected signature was made with
//
//	printf '1700000000.{"event":"connect"}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
func TestSign_Vector(t *testing.T) {
	got := webhook.Sign(secret, time.Unix(1700000000, 999), []byte(`{"event":"connect"}`))
	const want = "t=1700000000,v1=3e0f613ec84736d0cf30c0afbe3d8e7b57a311404fb155ae5eee9e3b8ce05ad7"
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestNew_RefusesWhatCannotWork(t *testing.T) {
	good := webhook.Config{URL: "https://app.example.com/hook", Secret: secret, Events: []gateway.HookEvent{gateway.OnConnect}}
	for want, spoil := range map[string]func(*webhook.Config){
		"":                                             func(*webhook.Config) {},
		"webhooks.url is no URL":                       func(c *webhook.Config) { c.URL = "app.example.com" },
		"webhooks.url is no URL of a":                  func(c *webhook.Config) { c.URL = "ftp://app.example.com" },
		"webhooks.secret has 5 bytes":                  func(c *webhook.Config) { c.Secret = "short" },
		"webhooks.events is empty":                     func(c *webhook.Config) { c.Events = nil },
		`webhooks.events names "conect"`:               func(c *webhook.Config) { c.Events = []gateway.HookEvent{"conect"} },
		"webhooks.timeout is -1s":                      func(c *webhook.Config) { c.Timeout = -time.Second },
		`webhooks.when_away is "maybe": want allow or`: func(c *webhook.Config) { c.WhenAway = "maybe" },
	} {
		c := good
		spoil(&c)
		_, err := webhook.New(c)
		switch {
		case want == "" && err != nil:
			t.Errorf("refused: %v", err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("got %v, want %s…", err, want)
		}
	}
}
