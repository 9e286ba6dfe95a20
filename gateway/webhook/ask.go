package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/broker/jsontext"
	"tidegate/gateway"
	"tidegate/gateway/internal/payload"
	"tidegate/gateway/rules"
)

// A question is the body of a request to the backend:
//
//	{"event":"publish","node":"…","session":"…","transport":"websocket",
//	 "protocol":"native","remote":"192.0.2.7","user":"alice","info":{…},
//	 "channel":"chat:lobby","data":…,"name":"…","key":"…","headers":{…}}
//
//	user, info      of the client; absent if anonymous
//	channel         of a subscribe or a publish
//	method          of an rpc
//	data            of a publish or an rpc, or what the client sends with a connect
//	                or a subscribe; instead: text, or binary in base64
//	name, key       event name and idempotency key of a publish
//	headers         those of webhooks.headers that the client's request had: see
//	                gateway.WithHeaders
//
// The backend answers in one of these ways:
//
//	204             allowed
//	200 {"allow":true}
//	                allowed. A connect may add user, info and the channels that the
//	                session gets; a subscribe, the info shown with the user there; both,
//	                data for the client; a publish, data, text or binary to publish
//	                instead; an rpc, its result as data, text or binary
//	200 {"allow":false,"code":"forbidden","message":"…"}
//	                refused; the client gets the code and the message
//	401, 403        refused
//
// Any other answer, or no answer in time, means that the backend is away.
type question struct {
	Event     gateway.HookEvent   `json:"event"`
	Node      string              `json:"node,omitempty"`
	Session   string              `json:"session,omitempty"`
	Transport string              `json:"transport,omitempty"`
	Protocol  string              `json:"protocol,omitempty"`
	Remote    string              `json:"remote,omitempty"`
	User      string              `json:"user,omitempty"`
	Info      json.RawMessage     `json:"info,omitempty"`
	Channel   string              `json:"channel,omitempty"`
	Method    string              `json:"method,omitempty"`
	Name      string              `json:"name,omitempty"`
	Key       string              `json:"key,omitempty"`
	Headers   map[string][]string `json:"headers,omitempty"`
	payload.Fields
}

type answer struct {
	Allow    bool            `json:"allow"`
	Code     gateway.Code    `json:"code"`
	Message  string          `json:"message"`
	User     *string         `json:"user"`
	Info     json.RawMessage `json:"info"`
	Channels []string        `json:"channels"`
	payload.Fields
}

// Ask asks the backend and blocks until it answers, the Timeout has passed or ctx has ended.
// It returns nil if the backend allows, else a *gateway.Error; while the backend is away,
// WhenAway decides.
func (w *Webhook) Ask(ctx context.Context, q *gateway.Question) error {
	said, err := w.ask(ctx, q)
	switch {
	case err == nil:
		err = said.apply(q)
	case errors.As(err, new(*gateway.Error)):
		w.noteAnswered(nil)
		w.config.Observe(string(q.Event), "refused")
		return err
	case hasGone(ctx) || errors.Is(err, context.Canceled): // the latter: see endedAnother
		return &gateway.Error{Code: gateway.Unavailable, Message: "the question was canceled before the backend's answer: try again"}
	}
	w.noteAnswered(err)
	if err == nil {
		w.config.Observe(string(q.Event), "allowed")
		return nil
	}
	w.config.Observe(string(q.Event), "away")
	if w.config.WhenAway == Allow {
		return nil
	}
	return &gateway.Error{Code: gateway.Unavailable, Message: "the backend that decides this is away: try again shortly"}
}

// ask returns the answer of a backend that allows. A *gateway.Error means that the backend
// refuses; any other error means that there is no valid answer.
func (w *Webhook) ask(ctx context.Context, q *gateway.Question) (*answer, error) {
	body, err := json.Marshal(questionOf(q))
	if err != nil {
		return nil, fmt.Errorf("encode the question: %w", err)
	}
	status, said, err := w.post(ctx, body, q.Event != gateway.OnRPC)
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusNoContent:
		return &answer{}, nil
	case status == http.StatusUnauthorized:
		return nil, &gateway.Error{Code: gateway.Unauthenticated, Message: refusedBy(q)}
	case status == http.StatusForbidden:
		return nil, &gateway.Error{Code: gateway.Forbidden, Message: refusedBy(q)}
	case status != http.StatusOK:
		return nil, fmt.Errorf("it answered with the status %d", status)
	}
	var a answer
	if err := json.Unmarshal(said, &a); err != nil {
		return nil, errors.New("its answer is not the JSON object of a verdict")
	}
	if !a.Allow {
		return nil, a.refusal(q)
	}
	return &a, nil
}

func questionOf(q *gateway.Question) question {
	body := question{
		Event: q.Event, Node: q.Node, Session: q.Session, Transport: q.Transport, Protocol: q.Protocol,
		Remote: q.Remote, User: q.Principal.User, Info: q.Principal.Info, Channel: q.Channel, Headers: q.Headers,
	}
	if p := q.Publish; p != nil {
		body.Name, body.Key, body.Fields = p.Event, p.Key, payload.FieldsOf(p.Payload, p.Kind)
	}
	if q.Data != "" {
		body.Fields = payload.FieldsOf([]byte(q.Data), broker.KindOf([]byte(q.Data)))
	}
	if c := q.Call; c != nil {
		body.Method, body.Fields = c.Method, payload.FieldsOf(c.Payload, c.Kind)
	}
	return body
}

func refusedBy(q *gateway.Question) string {
	if q.Channel == "" {
		return "the backend refused the " + string(q.Event)
	}
	return fmt.Sprintf("the backend refused the %s on %q", q.Event, q.Channel)
}

// codes are the codes that a backend may refuse with.
var codes = map[gateway.Code]bool{
	gateway.BadRequest: true, gateway.Unauthenticated: true, gateway.Forbidden: true, gateway.NotFound: true,
	gateway.TooLarge: true, gateway.RateLimited: true, gateway.LimitExceeded: true,
}

const maxMessage = 500

func (a *answer) refusal(q *gateway.Question) error {
	e := &gateway.Error{Code: a.Code, Message: a.Message}
	if !codes[e.Code] {
		e.Code = gateway.Forbidden
	}
	if e.Message == "" || len(e.Message) > maxMessage {
		e.Message = refusedBy(q)
	}
	return e
}

// apply copies the backend's changes into q. Its error means that the answer is invalid.
func (a *answer) apply(q *gateway.Question) error {
	switch q.Event {
	case gateway.OnConnect:
		return cmp.Or(a.applyToConnect(&q.Principal), a.applyTold(q))
	case gateway.OnSubscribe:
		return cmp.Or(a.applyInfo(&q.Info), a.applyTold(q))
	case gateway.OnPublish:
		a.applyTo(&q.Publish.Payload, &q.Publish.Kind)
	case gateway.OnRPC:
		q.Answer = new(gateway.Answer)
		a.applyTo(&q.Answer.Payload, &q.Answer.Kind)
	}
	return nil
}

func (a *answer) applyToConnect(p *gateway.Principal) error {
	if a.User != nil && *a.User != "" && rules.CheckChannel(rules.PersonalChannel(*a.User)) != nil {
		return errors.New("its answer names a user that can be none")
	}
	for _, channel := range a.Channels {
		if err := rules.CheckChannel(channel); err != nil {
			return fmt.Errorf("the channels in its answer: %w", err)
		}
	}
	if err := a.applyInfo(&p.Info); err != nil {
		return err
	}
	if a.User != nil {
		p.User = *a.User
	}
	if a.Channels != nil {
		p.Channels = a.Channels
	}
	return nil
}

func (a *answer) applyInfo(info *json.RawMessage) error {
	if len(a.Info) > gateway.MostInfo || broker.Nested(a.Info) {
		return fmt.Errorf("the info in its answer has %d bytes: at most %d, and %d levels, are accepted", len(a.Info), gateway.MostInfo, broker.MostNested)
	}
	if a.Info != nil {
		*info = jsontext.Compact(a.Info)
	}
	return nil
}

func (a *answer) applyTold(q *gateway.Question) error {
	if broker.Nested(a.Data) {
		return fmt.Errorf("the data in its answer is nested too deep: at most %d levels are accepted", broker.MostNested)
	}
	q.Told = jsontext.Compact(a.Data)
	return nil
}

// applyTo replaces a payload by the answer's, if it has one.
func (a *answer) applyTo(payload *[]byte, kind *broker.Kind) {
	switch {
	case a.Data != nil:
		*payload, *kind = a.Data, broker.JSON
	case a.Text != nil && utf8.ValidString(*a.Text):
		*payload, *kind = []byte(*a.Text), broker.Text
	case a.Binary != nil:
		*payload, *kind = *a.Binary, broker.Binary
	}
}
