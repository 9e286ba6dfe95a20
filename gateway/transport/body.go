package transport

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
)

// ReadBody reads the body of a request, at most most bytes. It charges the payer for its
// Content-Length or, if that is not known, for most bytes; the caller must call release to
// give them back. An error is a *gateway.Error.
func ReadBody(b *gateway.Budget, payer *rates.Bucket, w http.ResponseWriter, r *http.Request, most int) (body []byte, release func(), err error) {
	tooLarge := &gateway.Error{Code: gateway.TooLarge, Message: fmt.Sprintf("the body has more than %d bytes: that is the most that is allowed", most)}
	if r.ContentLength > int64(most) {
		return nil, nil, tooLarge
	}
	held := most
	if r.ContentLength >= 0 {
		held = int(r.ContentLength)
	}
	if err := b.Hold(payer, held); err != nil {
		return nil, nil, err
	}
	release = func() { b.LetGo(payer, held) }
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, int64(most)))
	switch {
	case err == nil:
		return body, release, nil
	case errors.As(err, new(*http.MaxBytesError)):
		err = tooLarge
	default:
		err = badRequest("the body broke off, or took too long")
	}
	release()
	return nil, nil, err
}
