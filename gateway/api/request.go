package api

import (
	"net/http"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
)

// endpoint handles a request and returns the body of the answer, or nil for no body. If it
// returns a body and an error, the answer contains both.
type endpoint func(*request) (body any, err error)

type request struct {
	*http.Request
	by     *gateway.Principal
	writer http.ResponseWriter // needed to read the body

	gateway *gateway.Gateway
	payer   *rates.Bucket
	held    int   // bytes charged to the payer
	details []any // for the audit log, in pairs
}

// hold charges the payer until the request has been answered.
func (r *request) hold(bytes int) error {
	if err := r.gateway.Budget.Hold(r.payer, bytes); err != nil {
		return err
	}
	r.held += bytes
	return nil
}
