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
	idlePerHost  = 64              // connections kept open
	connsPerHost = 256             // open at a time; further questions wait, within their time-out
	maxAnswer    = 1 << 20         // most bytes of an answer's body
	longAnswers  = 16              // how many are read at a time
	shortAnswer  = 4 << 10         // an answer with at most this Content-Length is not counted as long
	maxHeader    = 8 << 10         // most bytes of an answer's header
	pingAfter    = 5 * time.Second // without a frame from the backend over HTTP/2, while it is asked or kept open
	pingPatience = 2 * time.Second // for the answer to a ping; then new connections are made
)

// AnswerBytes is the most memory that a Client uses for answers, in bytes.
const AnswerBytes = longAnswers*maxAnswer + connsPerHost*(shortAnswer+maxHeader)

// Client sends requests to backends. All methods are safe for concurrent use.
type Client struct {
	http    *http.Client
	reading chan struct{} // a semaphore for reading long answers
}

// NewClient returns a Client. It does not follow redirects: whoever can answer in the
// backend's place could otherwise send the questions elsewhere.
func NewClient() *Client {
	return &Client{&http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout:    dialTimeout,
			ResponseHeaderTimeout:  time.Minute, // the context of a request ends earlier
			IdleConnTimeout:        idleTimeout,
			MaxIdleConnsPerHost:    idlePerHost,
			MaxConnsPerHost:        connsPerHost,
			MaxResponseHeaderBytes: maxHeader,
			ForceAttemptHTTP2:      true,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingPatience},
		},
	}, make(chan struct{}, longAnswers)}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Post sends a JSON object to a backend and returns the status and body of the answer. It
// adds its own headers to header. Its errors do not contain the URL, which may hold a secret.
//
// If mayRepeat, a backend may get the object twice: it is sent again if the connection, which
// served other requests before, was closed without an answer.
func (c *Client) Post(ctx context.Context, url string, header http.Header, body []byte, mayRepeat bool) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, errors.New("the URL is not good")
	}
	request.Header = header
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "tidegate")
	if mayRepeat {
		request.Header["Idempotency-Key"] = []string{} // tells http.Transport, and is not sent
	}
	response, err := c.http.Do(request)
	if mayRepeat && endedAnother(ctx, err) {
		request.Body, _ = request.GetBody() // cannot fail
		response, err = c.http.Do(request)
	}
	if err != nil {
		return 0, nil, withoutURL(err)
	}
	defer response.Body.Close()
	if response.ContentLength < 0 || response.ContentLength > shortAnswer {
		select {
		case c.reading <- struct{}{}:
			defer func() { <-c.reading }()
		case <-ctx.Done():
			return 0, nil, errors.New("too many long answers are being read")
		}
	}
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, nil, fmt.Errorf("read the answer: %w", err)
	case len(answer) > maxAnswer:
		return 0, nil, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return response.StatusCode, answer, nil
}

// endedAnother reports whether err, of a request with the context ctx, is the end of another
// request's context. http.Transport may lend a connection to the next request just before the
// caller of the one before gives up, and then closes it. A connection that cannot be opened in
// time is also a context.DeadlineExceeded, but a *net.OpError.
func endedAnother(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.As(err, new(*net.OpError)) {
		return false
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func withoutURL(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}
