package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	dialTimeout  = 2 * time.Second
	idleTimeout  = 90 * time.Second
	idlePerHost  = 64      // connections kept for the next questions
	connsPerHost = 256     // at once; further questions wait within their time-out
	maxAnswer    = 1 << 20 // bytes of an answer that are read
)

// newClient returns a client of one backend. It follows no redirect: whoever may
// answer for the backend could otherwise send the questions elsewhere.
func newClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: time.Minute, // the context of a request ends before
			IdleConnTimeout:       idleTimeout,
			MaxIdleConnsPerHost:   idlePerHost,
			MaxConnsPerHost:       connsPerHost,
			ForceAttemptHTTP2:     true,
		},
	}
}

// post sends a body and returns the answer's status and body. Its errors show
// nothing of the URL, which may hold a secret.
func (w *Webhook) post(ctx context.Context, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.config.URL, bytes.NewReader(body))
	if err != nil {
		return 0, nil, errors.New("the URL is not good")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "tidegate")
	request.Header.Set(SignatureHeader, Sign(w.config.Secret, time.Now(), body))
	response, err := w.client.Do(request)
	if err != nil {
		return 0, nil, withoutURL(err)
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, nil, fmt.Errorf("read the answer: %w", err)
	case len(answer) > maxAnswer:
		return 0, nil, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return response.StatusCode, answer, nil
}

func withoutURL(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}
