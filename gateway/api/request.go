package api

import (
	"net/http"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
)

// endpoint does what a request asks and returns the body of the answer; nil means that
// there is none. If there are an error and a body, the answer has both.
type endpoint func(*request) (body any, err error)

type request struct {
	*http.Request
	by     *gateway.Principal
	writer http.ResponseWriter // for what reads the body

	gateway *gateway.Gateway
	payer   *rates.Bucket
	held    int   // bytes of what the node may hold for the payer
	details []any // for the audit log, in pairs
}

// holdBody makes room for the body: for as many bytes as it says that it has, or else
// for most.
func (r *request) holdBody(most int) error {
	if r.ContentLength >= 0 {
		most = int(r.ContentLength)
	}
	return r.hold(most)
}

// hold makes room until the request has been answered.
func (r *request) hold(bytes int) error {
	if err := r.gateway.Budget.Hold(r.payer, bytes); err != nil {
		return err
	}
	r.held += bytes
	return nil
}
