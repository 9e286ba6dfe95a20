package transport

import (
	"errors"
	"io"
	"net/http"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
)

// OpenBody returns the body of a request, which may have at most most bytes. It first calls
// hold with its Content-Length or, if that is not known, with most. Any error, also one of
// reading, is a *gateway.Error.
func OpenBody(hold func(bytes int) error, w http.ResponseWriter, r *http.Request, most int) (io.Reader, error) {
	if r.ContentLength > int64(most) {
		return nil, tooLarge(most)
	}
	held := most
	if r.ContentLength >= 0 {
		held = int(r.ContentLength)
	}
	if err := hold(held); err != nil {
		return nil, err
	}
	return body{http.MaxBytesReader(w, r.Body, int64(most)), most}, nil
}

// ReadBody is like OpenBody, but reads the whole body, and charges the payer for it. The
// caller must call release when it no longer uses the body.
func ReadBody(b *gateway.Budget, payer *rates.Bucket, w http.ResponseWriter, r *http.Request, most int) (read []byte, release func(), err error) {
	held := 0
	opened, err := OpenBody(func(bytes int) error { held = bytes; return b.Hold(payer, bytes) }, w, r, most)
	if err != nil {
		return nil, nil, err
	}
	release = func() { b.LetGo(payer, held) }
	if read, err = io.ReadAll(opened); err != nil {
		release()
		return nil, nil, err
	}
	return read, release, nil
}

// body is a body of at most most bytes.
type body struct {
	io.Reader
	most int
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	switch {
	case err == nil || err == io.EOF:
	case errors.As(err, new(*http.MaxBytesError)):
		err = tooLarge(b.most)
	default:
		err = fail(gateway.BadRequest, "the body broke off, or took too long")
	}
	return n, err
}

func tooLarge(most int) error {
	return fail(gateway.TooLarge, "the body has more than %d bytes: that is the most that is allowed", most)
}
