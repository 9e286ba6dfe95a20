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
	longAnswers  = 16      // are read at once
	shortAnswer  = 4 << 10 // bytes that it says it has: it waits for no other
	maxHeader    = 8 << 10 // bytes of an answer's header
)

// AnswerBytes is the most that a Client holds of answers.
const AnswerBytes = longAnswers*maxAnswer + connsPerHost*(shortAnswer+maxHeader)

// Client asks backends. All methods may be called concurrently.
type Client struct {
	http    *http.Client
	reading chan struct{} // has one for each long answer that is being read
}

// NewClient returns a client of backends. It follows no redirect: whoever may
// answer for the backend could otherwise send the questions elsewhere.
func NewClient() *Client {
	return &Client{newHTTPClient(), make(chan struct{}, longAnswers)}
}

// Close ends the connections over which nothing is asked.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func newHTTPClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout:    dialTimeout,
			ResponseHeaderTimeout:  time.Minute, // the context of a request ends before
			IdleConnTimeout:        idleTimeout,
			MaxIdleConnsPerHost:    idlePerHost,
			MaxConnsPerHost:        connsPerHost,
			MaxResponseHeaderBytes: maxHeader,
			ForceAttemptHTTP2:      true,
		},
	}
}

// Post sends a JSON object to a backend, with more headers, and returns the answer's
// status and body. Its errors show nothing of the URL, which may hold a secret.
func (c *Client) Post(ctx context.Context, url string, header http.Header, body []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, errors.New("the URL is not good")
	}
	request.Header = header
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "tidegate")
	response, err := c.http.Do(request)
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

func withoutURL(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}
