package centrifuge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/transport"
)

// API serves the server API of the Centrifuge family: POST of a JSON object to a path that
// ends in a method's name, with an API key in X-API-Key, ?api_key= or "Authorization:
// apikey KEY". As backends of that family expect, the status is 200 whatever the result of
// the method: {"result":…} or {"error":{"code":…,"message":…}}. A request without an
// unrestricted API key gets 401 or 403, one that cannot be parsed 400.
//
// Older backends POST commands to the path before the method's name, one per line, and get as
// many replies: {"method":"publish","params":{…}}
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

// ServeHTTP calls the method named by the last part of the path or, if there is no such method,
// executes commands.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	p, err := a.authenticate(r)
	if err != nil {
		transport.LeaveUnread(w, r)
		transport.Refuse(w, err)
		return
	}
	method := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if !slices.Contains(Methods(), method) {
		method = ""
	}
	values, release, err := a.readBody(&p, w, r, method)
	if err != nil {
		transport.Refuse(w, err)
		return
	}
	defer release()
	w.Header().Set("Content-Type", "application/json")
	c, answer := &call{Gateway: a.Gateway, by: &p, log: a.Log}, json.NewEncoder(w)
	for _, value := range values {
		_ = answer.Encode(c.answer(r.Context(), method, value)) // the backend may have disconnected
	}
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

// readBody returns the JSON values in the body: one for a method, or several commands.
func (a *API) readBody(p *gateway.Principal, w http.ResponseWriter, r *http.Request, method string) (values []json.RawMessage, release func(), err error) {
	body, release, err := transport.ReadBody(a.Gateway.Budget, a.Gateway.Budget.Payer(p, r.RemoteAddr), w, r, max(maxBody, 2*a.Gateway.Limits().MessageBytes))
	if err != nil {
		return nil, nil, err
	}
	most, depth := 1, 1
	if method == "" {
		most, depth = mostCommands, 2
	}
	if values, err = valuesOf(body, most, depth); err != nil {
		release()
	}
	return values, release, err
}

// valuesOf returns the JSON values in a body, from 1 up to most. In each, a payload is as many
// levels deep as depth says.
func valuesOf(body []byte, most, depth int) (values []json.RawMessage, err error) {
	isText := utf8.Valid(body)
	if json.Valid(body) { // one value: no copy is needed
		values, body = []json.RawMessage{body}, nil
	}
	for decoder := json.NewDecoder(bytes.NewReader(body)); err == nil && len(values) <= most; {
		var value json.RawMessage
		if err = decoder.Decode(&value); err == nil {
			values = append(values, value)
		}
	}
	why := "the body is not JSON"
	switch {
	case !isText, len(values) == 0, err != nil && err != io.EOF:
	case len(values) > most:
		why = fmt.Sprintf("the body has too many JSON values: at most %d are allowed", most)
	case slices.ContainsFunc(values, func(v json.RawMessage) bool { return broker.NestedIn(v, depth) }):
		why = nested
	default:
		return values, nil
	}
	return nil, &gateway.Error{Code: gateway.BadRequest, Message: why}
}
