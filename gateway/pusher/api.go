package pusher

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
	"tidegate/gateway/transport"
)

// API is the HTTP API for the backends of apps:
//
//	POST /apps/ID/events                            publish an event on up to 100 channels
//	POST /apps/ID/batch_events                      up to 10 events
//	GET  /apps/ID/channels                          that somebody is subscribed to
//	GET  /apps/ID/channels/NAME
//	GET  /apps/ID/channels/NAME/users               of a presence channel
//	POST /apps/ID/users/USER/terminate_connections
//
// Every request is signed with the app's secret (see App). An answer above 399 has a
// line of text as its body. It may be used by any number of requests at once.
type API struct {
	gateway *gateway.Gateway
	apps    *Apps
	log     *slog.Logger
	mux     *http.ServeMux
}

var _ http.Handler = (*API)(nil)

// NewAPI returns a handler of paths that begin with /apps/.
func NewAPI(g *gateway.Gateway, apps *Apps, log *slog.Logger) *API {
	api := &API{gateway: g, apps: apps, log: log, mux: http.NewServeMux()}
	for pattern, serve := range map[string]endpoint{
		"POST /apps/{app}/events":                             (*request).publish,
		"POST /apps/{app}/batch_events":                       (*request).publishBatch,
		"GET /apps/{app}/channels":                            (*request).listChannels,
		"GET /apps/{app}/channels/{channel}":                  (*request).showChannel,
		"GET /apps/{app}/channels/{channel}/users":            (*request).listUsers,
		"POST /apps/{app}/users/{user}/terminate_connections": (*request).terminateConnections,
	} {
		api.mux.Handle(pattern, api.answer(serve))
	}
	return api
}

// ServeHTTP implements http.Handler.
func (api *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { api.mux.ServeHTTP(w, r) }

// endpoint returns the body of the answer, which becomes JSON. Its error is a *refusal,
// or what gateway.ErrorOf understands.
type endpoint func(*request) (any, error)

// request is one by an app's backend.
type request struct {
	*http.Request
	api  *API
	app  *app
	by   *App // the app as it is set now
	body []byte
}

// refusal is an answer above 399.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// maxRequest is how large a body may be beside what its events' data takes, written
// with escapes: names of channels.
const maxRequest = 64 << 10

func (api *API) answer(serve endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := api.serve(w, r, serve)
		if err != nil {
			api.refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		body, _ := json.Marshal(answer) // of types that can be encoded
		w.Write(body)
	})
}

// serve lets a request through that is signed. Its body is read after that.
func (api *API) serve(w http.ResponseWriter, r *http.Request, serve endpoint) (any, error) {
	app, by := api.apps.byID(r.PathValue("app"))
	if app == nil {
		return nil, refuse(http.StatusNotFound, "there is no app with this id")
	}
	query := r.URL.Query()
	wrong := by.checkRequest(r.Method, r.URL.Path, query, time.Now())
	if escaped := r.URL.EscapedPath(); wrong != "" && escaped != r.URL.Path {
		wrong = by.checkRequest(r.Method, escaped, query, time.Now()) // some sign what they send
	}
	switch {
	case wrong != "":
		return nil, refuse(http.StatusUnauthorized, "%s", wrong)
	case by.Disabled:
		return nil, refuse(http.StatusForbidden, "the app is disabled")
	}
	payer := api.gateway.PayerOf(&gateway.Principal{Key: by.ID}, r.RemoteAddr)
	body, err := readBody(api.gateway, payer, w, r, maxRequest+mostBatch*2*by.eventBytes())
	if err != nil {
		return nil, err
	}
	defer api.gateway.GiveInbound(payer, cap(body))
	if wrong := checkBody(body, query); wrong != "" {
		return nil, refuse(http.StatusUnauthorized, "%s", wrong)
	}
	if broker.Nested(body) {
		return nil, refuse(http.StatusBadRequest, "the JSON of the body is nested too deep: at most %d levels are allowed", broker.MostNested)
	}
	return serve(&request{r, api, app, by, body})
}

// readBody returns the body, whose capacity is held for the payer.
func readBody(g *gateway.Gateway, payer *rates.Bucket, w http.ResponseWriter, r *http.Request, most int) ([]byte, error) {
	tooLarge := refuse(http.StatusRequestEntityTooLarge, "the request has more than %d bytes", most)
	size := most
	if r.ContentLength >= 0 {
		size = int(min(r.ContentLength, int64(most)+1))
	}
	if size > most {
		return nil, tooLarge
	}
	if err := g.TakeInbound(payer, size); err != nil {
		return nil, err
	}
	body := make([]byte, 0, size)
	n, err := io.ReadFull(http.MaxBytesReader(w, r.Body, int64(most)), body[:size])
	switch {
	case err == nil || r.ContentLength < 0 && (err == io.EOF || err == io.ErrUnexpectedEOF):
		return body[:n], nil
	case errors.As(err, new(*http.MaxBytesError)):
		err = tooLarge
	default:
		err = refuse(http.StatusBadRequest, "the body broke off, or took too long")
	}
	g.GiveInbound(payer, size)
	return nil, err
}

func (api *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	refusal := refusalOf(err)
	if refusal.status == http.StatusInternalServerError {
		api.log.Error("request to the Pusher API failed", "path", r.URL.Path, "error", err)
	}
	refusal.answer(w)
}

func refusalOf(err error) *refusal {
	var known *refusal
	if errors.As(err, &known) {
		return known
	}
	return &refusal{transport.StatusOf(err), gateway.ErrorOf(err).Message}
}

func (r *refusal) answer(w http.ResponseWriter) {
	transport.Advise(w, r.status)
	http.Error(w, r.text, r.status)
}
