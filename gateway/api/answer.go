package api

import (
	"net/http"
	"strings"

	"tidegate/broker/jsontext"
	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
	"tidegate/gateway/transport"
)

// answer returns a handler that authenticates requests and answers with the result of serve.
func (h *Handler) answer(serve endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		p, err := h.authenticate(r)
		if err != nil {
			leaveUnread(w, r, err)
			h.fail(w, r, err)
			return
		}
		asked := &request{Request: r, by: &p, writer: w, gateway: h.gateway, payer: h.gateway.Budget.Payer(&p, r.RemoteAddr)}
		defer func() { h.gateway.Budget.LetGo(asked.payer, asked.held) }()
		h.record(asked, h.do(asked, serve))
	})
}

// do answers an authenticated request and returns the status.
func (h *Handler) do(r *request, serve endpoint) (status int) {
	var body any
	err := h.gateway.Denials.Admit(r.by, r.RemoteAddr)
	if err == nil {
		body, err = serve(r)
	}
	switch {
	case err != nil && body == nil:
		if r.held == 0 { // so that the body was not read
			leaveUnread(r.writer, r.Request, err)
		}
		return h.fail(r.writer, r.Request, err)
	case body == nil:
		r.writer.WriteHeader(http.StatusNoContent)
		return http.StatusNoContent
	}
	status = http.StatusOK
	if err != nil {
		status = h.note(r.writer, r.Request, err)
	}
	encoded, err := jsontext.Encode(body)
	if err != nil { // a payload in Redis is labeled JSON but is not valid
		return h.fail(r.writer, r.Request, err)
	}
	if r.Method == http.MethodGet { // only for a GET: what a change has done must be reported in any case
		if err := r.hold(len(encoded)); err != nil {
			return h.fail(r.writer, r.Request, err)
		}
	}
	r.writer.Header().Set("Content-Type", "application/json")
	r.writer.WriteHeader(status)
	_, _ = r.writer.Write(append(encoded, '\n')) // the client may have disconnected
	return status
}

// leaveUnread is for a request that is refused before its body is read. Who may not do
// this, or sends too much, need not send the rest; others may use the connection again.
func leaveUnread(w http.ResponseWriter, r *http.Request, err error) {
	switch transport.StatusOf(err) {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge:
		transport.LeaveUnread(w, r)
	}
}

func (h *Handler) authenticate(r *http.Request) (gateway.Principal, error) {
	token, err := transport.TokenOf(r)
	if err != nil {
		h.gateway.NoteNoToken()
		return gateway.Principal{}, err
	}
	if token == "" && h.config.NoAnonymous {
		h.gateway.NoteNoToken()
		return gateway.Principal{}, fail(gateway.Unauthenticated, "authenticate: send the header Authorization: Bearer KEY")
	}
	if token == "" {
		return h.config.Anonymous, nil
	}
	return h.gateway.Authenticate(r.Context(), token)
}

// fail answers with only an error.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) (status int) {
	status = h.note(w, r, err)
	transport.Refuse(w, err)
	return status
}

// note returns the status for err, sets the headers that go with it, and logs internal errors.
func (h *Handler) note(w http.ResponseWriter, r *http.Request, err error) (status int) {
	status = transport.StatusOf(err)
	if status == http.StatusInternalServerError {
		h.log.Error("API request failed", "method", r.Method, "route", r.Pattern, "error", err)
	}
	transport.Advise(w, status)
	return status
}

// refuseUnknown answers requests that match no route: with 405 if another method would
// match, else 404.
func (h *Handler) refuseUnknown(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := h.mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		h.fail(w, r, fail(gateway.NotFound, "there is no such path: GET /api/openapi.yaml lists them"))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	transport.RefuseAs(w, http.StatusMethodNotAllowed, fail(gateway.BadRequest, "the method is not allowed here: want %s", strings.Join(allowed, " or ")))
}

// limited wraps endpoints that read. It counts each request against the client's command
// rate and limits how many reads of one client run at a time.
func limited(h *Handler, serve endpoint) endpoint {
	return func(r *request) (answer any, err error) {
		if err := h.gateway.Budget.Spend(r.by, r.RemoteAddr, rates.Cost{Commands: 1}); err != nil {
			return nil, err
		}
		err = h.gateway.Budget.Read(r.Context(), r.by, r.RemoteAddr, func() error {
			answer, err = serve(r)
			return err
		})
		return answer, err
	}
}
