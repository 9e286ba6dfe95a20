package webhook

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Many long answers at a time do not fill the node's memory.
func TestClient_FewLongAnswersAreReadAtOnce(t *testing.T) {
	long := strings.Repeat("x", shortAnswer+1)
	answerOf := func(path string) string {
		if path == "/short" {
			return long[:shortAnswer]
		}
		return long
	}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := answerOf(r.URL.Path)
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
		} else {
			w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		}
		io.WriteString(w, answer)
	}))
	defer backend.Close()
	c := NewClient()
	defer c.Close()
	post := func(path string, patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, got, err := c.Post(ctx, backend.URL+path, http.Header{}, nil)
		if err == nil && string(got) != answerOf(path) {
			t.Errorf("%d bytes came, want %d", len(got), len(answerOf(path)))
		}
		return err
	}
	for range 2 * longAnswers { // more than the limit: places must be given back
		if err := post("/", time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	for range longAnswers {
		c.reading <- struct{}{} // as many answers as allowed are being read
	}
	for _, path := range []string{"/", "/chunked"} {
		if post(path, 50*time.Millisecond) == nil {
			t.Errorf("%s: one answer too many was read", path)
		}
	}
	if err := post("/short", time.Minute); err != nil {
		t.Errorf("a short answer waits for others: %v", err)
	}
}
