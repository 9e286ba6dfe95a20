package centrifuge

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/centrifuge/internal/wire"
	"tidegate/gateway/transport"
)

// API serves the server API of the Centrifuge family: POST of a JSON object to a path that
// ends in a method's name, with an API key in X-API-Key, ?api_key= or "Authorization:
// apikey KEY". As backends of that family expect, the status is 200 whatever the result of
// the method: {"result":…} or {"error":{"code":…,"message":…}}. A request without an
// unrestricted API key gets 401 or 403, one that cannot be parsed 400.
type API struct {
	Gateway   *gateway.Gateway
	Anonymous gateway.Principal // identity of a request without a key
	Log       *slog.Logger      // may be nil
}

// Methods returns the names of all methods.
func Methods() []string {
	return []string{
		"publish", "broadcast", "subscribe", "unsubscribe", "disconnect", "presence", "presence_stats",
		"history", "history_remove", "channels", "info", "refresh", "batch",
	}
}

// ServeHTTP calls the method named by the last part of the path.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	p, err := a.authenticate(r)
	if err != nil {
		transport.LeaveUnread(w, r)
		transport.Refuse(w, err)
		return
	}
	body, release, err := a.readBody(&p, w, r)
	if err != nil {
		transport.Refuse(w, err)
		return
	}
	defer release()
	method := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	result, err := (&call{Gateway: a.Gateway, by: &p}).do(r.Context(), method, body)
	if _, told := errors.AsType[*wire.Error](err); err != nil && !told && gateway.ErrorOf(err).Code == gateway.Internal && a.Log != nil {
		a.Log.Error("API request failed", "method", method, "error", err)
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil || method != "batch" {
		result = reply("result", result, err)
	}
	_ = json.NewEncoder(w).Encode(result) // the backend may have disconnected
}

func (a *API) authenticate(r *http.Request) (p gateway.Principal, err error) {
	key := keyOf(r)
	if p = a.Anonymous; key != "" {
		if p, err = a.Gateway.Authenticate(r.Context(), key); err != nil {
			return p, err
		}
	}
	switch {
	case p.Backend() && p.Scope == nil:
		return p, a.Gateway.Denials.Admit(&p, r.RemoteAddr)
	case key == "":
		a.Gateway.NoteNoToken()
		return p, &gateway.Error{Code: gateway.Unauthenticated, Message: "this takes an API key: send the header X-API-Key"}
	}
	return p, &gateway.Error{Code: gateway.Forbidden, Message: "this takes an API key that is good for everything"}
}

func keyOf(r *http.Request) string {
	if key := r.Header.Get("X-Api-Key"); key != "" {
		return key
	}
	if scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "apikey") {
		return strings.TrimSpace(key)
	}
	return r.URL.Query().Get("api_key")
}

const maxBody = 8 << 20 // bytes, unless two messages of the largest size take more

func (a *API) readBody(p *gateway.Principal, w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	body, release, err = transport.ReadBody(a.Gateway.Budget, a.Gateway.Budget.Payer(p, r.RemoteAddr), w, r, max(maxBody, 2*a.Gateway.Limits().MessageBytes))
	why := ""
	switch {
	case err != nil:
		return nil, nil, err
	case !utf8.Valid(body) || !json.Valid(body):
		why = "the body is not JSON"
	case broker.NestedIn(body, 1):
		why = nested
	default:
		return body, release, nil
	}
	release()
	return nil, nil, &gateway.Error{Code: gateway.BadRequest, Message: why}
}
