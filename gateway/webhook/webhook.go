// Package webhook asks a backend over HTTP what clients may do, and tells it what
// happened: it is the gateway's Hooks.
//
// Every request is a POST of a JSON object, signed (see [Sign]). A question is
// about one thing and is answered by the response; notices travel in batches and
// are sent again until the backend answers 2xx.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"tidegate/gateway"
)

// Config is what a Webhook is made of. URL, Secret and Events are required.
type Config struct {
	URL      string
	Secret   string              // signs every request; at least 16 bytes
	Events   []gateway.HookEvent // that the backend wants
	Timeout  time.Duration       // for the backend to answer; 0: 2 s
	WhenAway Verdict             // on questions that the backend does not answer; "": Deny
	Headers  []string            // of a client's handshake, shown in questions; see Forward

	// Observe is told of each request: of a question its event, of notices
	// "notices", and what came of it, of a closed set; nil: nobody is.
	Observe func(event, result string)
	Log     *slog.Logger // nil: none
}

// Outcomes returns what Observe is told of requests about an event.
func Outcomes(event gateway.HookEvent) (name string, results []string) {
	switch event {
	case gateway.OnConnect, gateway.OnSubscribe, gateway.OnPublish, gateway.OnRPC:
		return string(event), []string{"allowed", "refused", "away"}
	}
	return "notices", []string{"taken", "away"}
}

// Verdict is what holds while the backend is away.
type Verdict string

const (
	Allow Verdict = "allow"
	Deny  Verdict = "deny"
)

const (
	defaultTimeout = 2 * time.Second
	minSecret      = 16
)

// Validate returns what is wrong with the config; the error begins with the name
// of the setting.
func (c *Config) Validate() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("webhooks.url is no URL of a backend: want one such as https://app.example.com/tidegate")
	case len(c.Secret) < minSecret:
		return fmt.Errorf("webhooks.secret has %d bytes: want at least %d (openssl rand -hex 24)", len(c.Secret), minSecret)
	case len(c.Events) == 0:
		return fmt.Errorf("webhooks.events is empty: name what the backend wants, of %v", gateway.HookEvents())
	case c.Timeout < 0:
		return fmt.Errorf("webhooks.timeout is %v: want a positive duration such as 2s", c.Timeout)
	}
	switch c.WhenAway {
	case "", Allow, Deny:
	default:
		return fmt.Errorf("webhooks.when_away is %q: want %s or %s", c.WhenAway, Allow, Deny)
	}
	for _, event := range c.Events {
		if !slices.Contains(gateway.HookEvents(), event) {
			return fmt.Errorf("webhooks.events names %q: want some of %v", event, gateway.HookEvents())
		}
	}
	return nil
}

// Webhook is a backend's URL. All methods may be called concurrently.
type Webhook struct {
	// Fixed at birth.
	config Config
	wants  map[gateway.HookEvent]bool
	client *Client
	log    *slog.Logger

	away   atomic.Bool  // it was logged so, and not yet that the backend is back
	failed atomic.Int64 // when a request was answered with nothing that holds, in Unix nanoseconds
}

var _ gateway.Hooks = (*Webhook)(nil)

// New returns a Webhook, or what is wrong with the config.
func New(c Config) (*Webhook, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Observe == nil {
		c.Observe = func(string, string) {}
	}
	w := &Webhook{config: c, wants: make(map[gateway.HookEvent]bool), client: NewClient(), log: c.Log}
	for _, event := range c.Events {
		w.wants[event] = true
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	return w, nil
}

// Wants reports whether the backend is asked or told of event.
func (w *Webhook) Wants(event gateway.HookEvent) bool { return w.wants[event] }

// noteAnswered logs when the backend goes away and, once nothing has failed for backAfter,
// when it is back: one that answers now and then fills no log. err is why there was no
// answer; nil: there was one.
func (w *Webhook) noteAnswered(err error) {
	now := time.Now()
	switch {
	case err != nil:
		w.failed.Store(now.UnixNano())
		if !w.away.Swap(true) {
			w.log.Error("the webhook's backend is away", "error", err, "verdict", w.verdict())
		}
	case w.away.Load() && now.Sub(time.Unix(0, w.failed.Load())) >= backAfter && w.away.CompareAndSwap(true, false):
		w.log.Info("the webhook's backend is back")
	}
}

const backAfter = 10 * time.Second

// Close ends the connections to the backend that nothing is asked or told over.
func (w *Webhook) Close() { w.client.Close() }

// post sends a body, signed, and returns the answer's status and body.
func (w *Webhook) post(ctx context.Context, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	return w.client.Post(ctx, w.config.URL, http.Header{SignatureHeader: {Sign(w.config.Secret, time.Now(), body)}}, body)
}

func (w *Webhook) verdict() Verdict {
	if w.config.WhenAway == Allow {
		return Allow
	}
	return Deny
}
