package centrifuge

import (
	"errors"
	"io"
	"net/http"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
)

// readBody reads the body of a request, at most most bytes. It takes that much of the payer's
// inbound memory; the caller must call release to give it back. An error is a *gateway.Error.
func readBody(g *gateway.Gateway, payer *rates.Bucket, w http.ResponseWriter, r *http.Request, most int) (body []byte, release func(), err error) {
	if r.ContentLength > int64(most) {
		return nil, nil, tooLarge
	}
	held := most
	if r.ContentLength >= 0 {
		held = int(r.ContentLength)
	}
	if err := g.Budget.Hold(payer, held); err != nil {
		return nil, nil, err
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, int64(most)))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		err = tooLarge
	case err != nil:
		err = &gateway.Error{Code: gateway.BadRequest, Message: "the body broke off, or took too long"}
	}
	if err != nil {
		g.Budget.LetGo(payer, held)
		return nil, nil, err
	}
	return body, func() { g.Budget.LetGo(payer, held) }, nil
}

var tooLarge = &gateway.Error{Code: gateway.TooLarge, Message: "the body is larger than allowed"}
