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

// NewAPI returns a handler for the paths that begin with /apps/.
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

func (api *API) answer(serve endpoint) http.Handler {
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
func (api *API) serve(w http.ResponseWriter, r *http.Request, serve endpoint) (any, error) {
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
	return serve(&request{r, api, app, by, body})
}
