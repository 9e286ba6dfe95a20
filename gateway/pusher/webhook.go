package pusher

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/webhook"
)

// Webhooks sends events to the backends of apps, and subscription counts to their clients.
// It is safe for concurrent use.
type Webhooks struct {
	gateway *gateway.Gateway
	apps    *Apps
	log     *slog.Logger
	observe func(event, result string)
	client  *webhook.Client
}

// NewWebhooks returns the webhooks of apps. Call it once per gateway. It calls observe with
// the outcome of each request: the event is "pusher", the result "taken", "away" or
// "dropped".
func NewWebhooks(g *gateway.Gateway, apps *Apps, log *slog.Logger, observe func(event, result string)) *Webhooks {
	w := &Webhooks{gateway: g, apps: apps, log: log, observe: observe, client: webhook.NewClient()}
	g.Nodes.Hear(topicCounts, heard(w.hearCounts))
	return w
}

// Close closes idle connections.
func (w *Webhooks) Close() { w.client.Close() }

// Receivers returns the gateway's receivers for all apps. Call it again when the apps have
// changed.
func (w *Webhooks) Receivers() (list []gateway.Receiver) {
	for _, app := range w.apps.all() {
		settings := app.settings.Load()
		if settings == nil || settings.Disabled {
			continue
		}
		for _, to := range settings.backends() {
			list = append(list, w.receiver(app, settings, &to))
		}
		if settings.SubscriptionCounts {
			list = append(list, newCounter(w.gateway, app))
		}
	}
	return list
}

func (w *Webhooks) receiver(app *app, settings *App, to *Webhook) gateway.Receiver {
	h := &hook{Webhooks: w, app: app, settings: settings, url: to.URL, wants: to.wanted()}
	digest := sha256.Sum256([]byte(to.URL))
	return gateway.Receiver{
		Name: "pusher-" + app.id + "-" + hex.EncodeToString(digest[:6]),
		Of:   app.has, Wants: func(e gateway.HookEvent) bool { return h.wants[e] != "" }, Tell: h.tell,
	}
}

// hook delivers events to one Webhook of an app.
type hook struct {
	// Immutable.
	*Webhooks
	app      *app
	settings *App
	url      string
	wants    map[gateway.HookEvent]string // the events to send, with their names in Pusher

	failing atomic.Int64 // since when requests fail, in Unix nanoseconds; 0 if they do not
}

const (
	hookPatience = 5 * time.Second // timeout of a request
	hookGivesUp  = 5 * time.Minute // age at which undelivered events are dropped
)

// told is one event in a webhook's body.
type told struct {
	Name    string  `json:"name"`
	Channel string  `json:"channel"`
	User    string  `json:"user_id,omitempty"`
	Event   string  `json:"event,omitempty"`
	Data    *string `json:"data,omitempty"`
	Socket  string  `json:"socket_id,omitempty"`
	Count   *int    `json:"subscription_count,omitempty"`
}

// tell sends the notices and returns nil once the backend has accepted them. If the backend
// has failed for hookGivesUp, tell drops notices that are at least that old.
func (h *hook) tell(ctx context.Context, notices []gateway.Notice) error {
	notices = h.withoutOld(notices)
	body := struct {
		Time   int64  `json:"time_ms"`
		Events []told `json:"events"`
	}{}
	for i := range notices {
		if event, is := h.event(&notices[i]); is {
			body.Time, body.Events = notices[i].Time.UnixMilli(), append(body.Events, event)
		}
	}
	if len(body.Events) == 0 {
		return nil
	}
	encoded, err := json.Marshal(body)
	if err == nil {
		err = h.post(ctx, encoded)
	}
	if err == nil || ctx.Err() == nil { // else the node stops, which says nothing of the backend
		h.note(err)
	}
	return err
}

func (h *hook) post(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, hookPatience)
	defer cancel()
	header := http.Header{"X-Pusher-Key": {h.settings.Key}, "X-Pusher-Signature": {sign(h.settings.Secret, string(body))}}
	status, _, err := h.client.Post(ctx, h.url, header, body, true)
	if err == nil && (status < http.StatusOK || status >= http.StatusMultipleChoices) {
		err = fmt.Errorf("it answered with the status %d", status)
	}
	return err
}

func (h *hook) note(err error) {
	if err == nil {
		h.observe("pusher", "taken")
		if h.failing.Swap(0) != 0 {
			h.log.Info("an app's webhook is back", "app", h.app.id)
		}
		return
	}
	h.observe("pusher", "away")
	if h.failing.CompareAndSwap(0, time.Now().UnixNano()) {
		h.log.Error("an app's webhook is away", "app", h.app.id, "error", err)
	}
}

// withoutOld returns the notices without those that have become too old: see hookGivesUp.
func (h *hook) withoutOld(notices []gateway.Notice) []gateway.Notice {
	since := h.failing.Load()
	if since == 0 || time.Since(time.Unix(0, since)) < hookGivesUp {
		return notices
	}
	kept := slices.DeleteFunc(slices.Clone(notices), func(n gateway.Notice) bool { return time.Since(n.Time) >= hookGivesUp })
	if dropped := len(notices) - len(kept); dropped > 0 {
		h.observe("pusher", "dropped")
		h.log.Error("what an app's webhook did not take for 5 minutes is dropped", "app", h.app.id, "events", dropped)
	}
	return kept
}

// event returns the webhook event for a notice. is is false if the backend is not to be
// told.
func (h *hook) event(n *gateway.Notice) (event told, is bool) {
	name := h.app.nameOf(n.Channel)
	event = told{Name: h.wants[n.Event], Channel: name}
	switch n.Event {
	case gateway.OnMemberJoined, gateway.OnMemberLeft:
		event.User = h.app.idOf(n.User)
		return event, isPresence(name)
	case gateway.OnNothingRecent:
		return event, isCache(name)
	case gateway.OnSessionsChanged:
		event.Count = &n.Sessions
		return event, !isPresence(name)
	case gateway.OnPublished:
		return h.clientEvent(event, n.Message)
	}
	return event, true
}

func (h *hook) clientEvent(event told, m *broker.Message) (told, bool) {
	if m == nil || !strings.HasPrefix(m.Event, clientPrefix) || !isSigned(event.Channel) {
		return told{}, false
	}
	data := string(m.Payload)
	if m.Kind == broker.Binary {
		data = base64.StdEncoding.EncodeToString(m.Payload)
	}
	event.Event, event.Data, event.Socket = m.Event, &data, m.Session
	if isPresence(event.Channel) {
		event.User = h.app.idOf(m.User)
	}
	return event, true
}

// hearCounts sends subscription counts to this node's clients.
func (w *Webhooks) hearCounts(_ string, counts map[string]int) error {
	for channel, sessions := range counts {
		w.gateway.TellCount(channel, sessions)
	}
	return nil
}
