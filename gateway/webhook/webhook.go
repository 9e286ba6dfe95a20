// Package webhook implements gateway.Hooks over HTTP: it asks a backend what clients may
// do, and tells it what happened.
//
// Every request is a POST of a signed JSON object (see [Sign]). A question is about one
// thing, and the response is its answer. Notices travel in batches, which are sent again
// until the backend answers 2xx.
package webhook

import (
	"cmp"
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

// Config configures a Webhook. URL, Secret and Events are required.
type Config struct {
	URL      string
	Secret   string              // signs every request; at least 16 bytes
	Events   []gateway.HookEvent // the events that the backend wants
	Timeout  time.Duration       // for the backend to answer; 0 means 2 s
	WhenAway Verdict             // answer to questions while the backend is away; "" means Deny
	Headers  []string            // headers of a client's handshake to add to questions; see Forward

	// Observe is called after each request with the event of a question, or "notices", and
	// the outcome: see Outcomes. It may be nil.
	Observe func(event, result string)
	Log     *slog.Logger // may be nil
}

// Outcomes returns the name and the possible results that Observe gets for an event.
func Outcomes(event gateway.HookEvent) (name string, results []string) {
	switch event {
	case gateway.OnConnect, gateway.OnSubscribe, gateway.OnPublish, gateway.OnRPC:
		return string(event), []string{"allowed", "refused", "away"}
	}
	return "notices", []string{"taken", "away"}
}

// Verdict is the answer to questions while the backend is away.
type Verdict string

const (
	Allow Verdict = "allow"
	Deny  Verdict = "deny"
)

const (
	defaultTimeout = 2 * time.Second
	minSecret      = 16
)

// Validate returns the first error of the config, or nil. The error begins with the
// name of the setting.
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

// Webhook is one backend. All methods are safe for concurrent use.
type Webhook struct {
	// Fixed at birth.
	config Config
	client *Client

	away   atomic.Bool  // logged as away, and not yet as back
	failed atomic.Int64 // when a request last failed, in Unix nanoseconds
}

var _ gateway.Hooks = (*Webhook)(nil)

// New returns a Webhook, or the error of Config.Validate.
func New(c Config) (*Webhook, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Timeout, c.WhenAway = cmp.Or(c.Timeout, defaultTimeout), cmp.Or(c.WhenAway, Deny)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Observe == nil {
		c.Observe = func(string, string) {}
	}
	return &Webhook{config: c, client: NewClient()}, nil
}

// Wants reports whether the backend wants event.
func (w *Webhook) Wants(event gateway.HookEvent) bool {
	return slices.Contains(w.config.Events, event)
}

// noteAnswered logs when the backend goes away and, once nothing has failed for backAfter,
// that it is back, so that a flapping backend does not fill the log. err is nil if there
// was a valid answer.
func (w *Webhook) noteAnswered(err error) {
	now := time.Now()
	switch {
	case err != nil:
		w.failed.Store(now.UnixNano())
		if !w.away.Swap(true) {
			w.config.Log.Error("the webhook's backend is away", "error", err, "verdict", w.config.WhenAway)
		}
	case w.away.Load() && now.Sub(time.Unix(0, w.failed.Load())) >= backAfter && w.away.CompareAndSwap(true, false):
		w.config.Log.Info("the webhook's backend is back")
	}
}

// hasGone reports whether the caller no longer waits for the backend, so that a request which
// has failed says nothing of the backend.
func hasGone(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

const backAfter = 10 * time.Second

// Close closes idle connections to the backend.
func (w *Webhook) Close() { w.client.Close() }

// post sends a signed body, as Client.Post does.
func (w *Webhook) post(ctx context.Context, body []byte, mayRepeat bool) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	return w.client.Post(ctx, w.config.URL, http.Header{SignatureHeader: {Sign(w.config.Secret, time.Now(), body)}}, body, mayRepeat)
}
