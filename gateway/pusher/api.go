package pusher

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/transport"
)

// NewAPI returns a handler for the HTTP API for the backends of apps:
//
//	POST /apps/ID/events                            publish an event on up to 100 channels
//	POST /apps/ID/batch_events                      publish up to 10 events
//	GET  /apps/ID/channels                          list the channels with subscribers
//	GET  /apps/ID/channels/NAME                     describe one channel
//	GET  /apps/ID/channels/NAME/users               list the users of a presence channel
//	POST /apps/ID/users/USER/terminate_connections  disconnect a user
//
// Every request is signed with the app's secret (see App). An answer with a status of 400 or
// above has a line of text as its body.
func NewAPI(g *gateway.Gateway, apps *Apps, log *slog.Logger) http.Handler {
	api, mux := &api{g, apps, log}, http.NewServeMux()
	for pattern, serve := range map[string]endpoint{
		"POST /apps/{app}/events":                             (*request).publish,
		"POST /apps/{app}/batch_events":                       (*request).publishBatch,
		"GET /apps/{app}/channels":                            (*request).listChannels,
		"GET /apps/{app}/channels/{channel}":                  (*request).showChannel,
		"GET /apps/{app}/channels/{channel}/users":            (*request).listUsers,
		"POST /apps/{app}/users/{user}/terminate_connections": (*request).terminateConnections,
	} {
		mux.Handle(pattern, api.answer(serve))
	}
	return mux
}

type api struct {
	gateway *gateway.Gateway
	apps    *Apps
	log     *slog.Logger
}

func (api *api) answer(serve endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := api.serve(w, r, serve)
		if err != nil {
			if refuse(w, err) == http.StatusInternalServerError {
				api.log.Error("request to the Pusher API failed", "path", r.URL.Path, "error", err)
			}
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		body, _ := json.Marshal(answer) // of types that can be encoded
		w.Write(body)
	})
}

// serve calls the endpoint if the request is signed correctly. It reads the body only after
// it has checked the signature of the query.
func (api *api) serve(w http.ResponseWriter, r *http.Request, serve endpoint) (any, error) {
	app, by := api.apps.byID(r.PathValue("app"))
	if app == nil {
		transport.LeaveUnread(w, r)
		return nil, fail(gateway.NotFound, "there is no app with this id")
	}
	query := r.URL.Query()
	wrong := by.checkRequest(r.Method, r.URL.Path, query, time.Now())
	if escaped := r.URL.EscapedPath(); wrong != "" && escaped != r.URL.Path {
		wrong = by.checkRequest(r.Method, escaped, query, time.Now()) // some backends sign the escaped path
	}
	if wrong != "" || by.Disabled {
		transport.LeaveUnread(w, r)
	}
	switch {
	case wrong != "":
		return nil, fail(gateway.Unauthenticated, "%s", wrong)
	case by.Disabled:
		return nil, fail(gateway.Forbidden, "the app is disabled")
	}
	payer := api.gateway.Budget.Payer(&gateway.Principal{Key: by.ID}, r.RemoteAddr)
	body, release, err := transport.ReadBody(api.gateway.Budget, payer, w, r, maxRequest+mostBatch*mostEscape*by.eventBytes())
	if err != nil {
		return nil, err
	}
	defer release()
	if wrong := checkBody(body, query); wrong != "" {
		return nil, fail(gateway.Unauthenticated, "%s", wrong)
	}
	if broker.Nested(body) {
		return nil, fail(gateway.BadRequest, "the JSON of the body is nested too deep: at most %d levels are allowed", broker.MostNested)
	}
	return serve(&request{r, api.gateway, app, by, body})
}

// endpoint serves a request and returns the body of the answer, to be encoded as JSON. An
// error is one for gateway.ErrorOf.
type endpoint func(*request) (any, error)

const mostAsking = 16 // maximum number of concurrent questions of one request

// request is a request from an app's backend.
type request struct {
	*http.Request
	gateway *gateway.Gateway
	app     *app
	by      *App // the app's settings when the request arrived
	body    []byte
}

const (
	// maxRequest is how many bytes a body may have in addition to the escaped data of its
	// events, mostly for the names of channels.
	maxRequest = 64 << 10
	mostEscape = 6 // \u003c: how many bytes of a body one byte of data may take
)

// refuse answers a request with an error and returns the status.
func refuse(w http.ResponseWriter, err error) (status int) {
	status = transport.StatusOf(err)
	transport.Advise(w, status)
	http.Error(w, gateway.ErrorOf(err).Message, status)
	return status
}
