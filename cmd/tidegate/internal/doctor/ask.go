package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// answer is the answer to a request. It is an error where another one was expected.
type answer struct {
	status   int
	location string // to which it redirects
	body     []byte
}

// Error returns the status and the message of a gateway, if any.
func (a *answer) Error() string {
	status := fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	if message := a.message(); message != "" {
		return status + ", " + message
	}
	if line, _, _ := strings.Cut(string(a.body), "\n"); a.status == http.StatusServiceUnavailable && strings.HasPrefix(line, "not ready") {
		return status + ", " + line
	}
	return status
}

// message returns the message of a gateway's error, or "".
func (a *answer) message() string {
	var said struct{ Error struct{ Message string } }
	_ = json.Unmarshal(a.body, &said) // fails if it is not a gateway's
	return said.Error.Message
}

// whyNot says what was received instead of the expected answer.
func whyNot(a *answer, err error) string {
	if err != nil {
		return err.Error()
	}
	return a.Error()
}

// refuses reports whether the gateway refused the credential.
func (a *answer) refuses() bool {
	return a.status == http.StatusUnauthorized || a.status == http.StatusForbidden
}

const mostRead = 1 << 20

// ask sends one request over a new connection and reads the answer.
func (e *examination) ask(ctx context.Context, method, path string, header http.Header, body []byte) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	response, err := e.begin(ctx, method, path, header, body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(io.LimitReader(response.Body, mostRead))
	a := &answer{status: response.StatusCode, body: read}
	if to, none := response.Location(); none == nil {
		a.location = to.String()
	}
	return a, err
}

// begin sends a request with the key and returns once the answer has begun.
func (e *examination) begin(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, e.URL.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if e.Key != "" {
		request.Header.Set("Authorization", "Bearer "+e.Key)
	}
	response, err := e.http.Do(request)
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		err = failed.Err // without the address, which is known
	}
	return response, err
}

// publish publishes a text on the examination's channel.
func (e *examination) publish(ctx context.Context, text string) error {
	path := "/api/channels/" + url.PathEscape(e.channel) + "/messages?transient=true"
	answer, err := e.ask(ctx, http.MethodPost, path, http.Header{"Content-Type": {"text/plain"}}, []byte(text))
	if err == nil && answer.status != http.StatusOK {
		err = fmt.Errorf("a publish is answered by %s", answer)
	}
	return err
}
