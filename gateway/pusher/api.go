package pusher

import (
	"log/slog"
	"net/http"

	"tidegate/gateway"
	"tidegate/gateway/transport"
)

// API serves the HTTP API for the backends of apps:
//
//	POST /apps/ID/events                            publish an event on up to 100 channels
//	POST /apps/ID/batch_events                      publish up to 10 events
//	GET  /apps/ID/channels                          list the channels with subscribers
//	GET  /apps/ID/channels/NAME                     describe one channel
//	GET  /apps/ID/channels/NAME/users               list the users of a presence channel
//	POST /apps/ID/users/USER/terminate_connections  disconnect a user
//
// Every request is signed with the app's secret (see App). An answer with a status of 400 or
// above has a line of text as its body. An API is safe for concurrent use.
type API struct {
	gateway *gateway.Gateway
	apps    *Apps
	log     *slog.Logger
	mux     *http.ServeMux
}

var _ http.Handler = (*API)(nil)

// endpoint serves a request and returns the body of the answer, to be encoded as JSON. An
// error is one for gateway.ErrorOf.
type endpoint func(*request) (any, error)

const mostAsking = 16 // maximum number of concurrent questions of one request

// request is a request from an app's backend.
type request struct {
	*http.Request
	api  *API
	app  *app
	by   *App // the app's settings when the request arrived
	body []byte
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
