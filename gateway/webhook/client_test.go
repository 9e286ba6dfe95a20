package webhook

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
		_, got, err := c.Post(ctx, backend.URL+path, http.Header{}, nil, true)
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

// Backends close connections that are idle, and may do so just when a request is sent.
func TestClient_SendsAgainWhatAnEndingConnectionDidNotAnswer(t *testing.T) {
	for _, mayRepeat := range []bool{true, false} {
		var requests atomic.Int32
		backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1); r.Header.Get("Idempotency-Key") != "" {
				t.Error("a header that is not ours was sent")
			}
			if requests.Load() == 2 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		defer backend.Close()
		c := NewClient()
		defer c.Close()
		for i, answered := range []bool{true, mayRepeat, true} {
			status, _, err := c.Post(t.Context(), backend.URL, http.Header{}, []byte("{}"), mayRepeat)
			if answered != (err == nil && status == http.StatusNoContent) {
				t.Errorf("may repeat %v, request %d: status %d, %v", mayRepeat, i+1, status, err)
			}
		}
	}
}

// canceled is a transport whose first request fails because another one was canceled.
type canceled struct{ bodies []string }

func (c *canceled) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	if c.bodies = append(c.bodies, string(body)); len(c.bodies) == 1 {
		return nil, context.Canceled
	}
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
}

func TestClient_DoesNotFailWithARequestThatIsCanceled(t *testing.T) {
	for mayRepeat, want := range map[bool]string{true: "{} {}", false: "{}"} {
		by := &canceled{}
		c := &Client{http: &http.Client{Transport: by}}
		status, _, err := c.Post(t.Context(), "http://backend/", http.Header{}, []byte("{}"), mayRepeat)
		if mayRepeat != (err == nil && status == http.StatusNoContent) || strings.Join(by.bodies, " ") != want {
			t.Errorf("may repeat %v: status %d, %v, sent %q", mayRepeat, status, err, by.bodies)
		}
	}
}

// late is a transport whose requests fail because the backend cannot be reached in time.
type late struct{ requests int }

func (l *late) RoundTrip(*http.Request) (*http.Response, error) {
	l.requests++
	_, err := (&net.Dialer{Timeout: 1}).Dial("tcp", "127.0.0.1:1")
	return nil, err
}

// Who asks should hear after dialTimeout, not after twice as long.
func TestClient_DoesNotAskABackendAgainThatCannotBeReached(t *testing.T) {
	by := &late{}
	c := &Client{http: &http.Client{Transport: by}}
	if _, _, err := c.Post(t.Context(), "http://backend/", http.Header{}, []byte("{}"), true); err == nil || by.requests != 1 {
		t.Errorf("%d requests, %v, want one that fails", by.requests, err)
	}
}

// A backend whose machine is gone leaves a connection over which nothing comes any more. As
// all questions share it over HTTP/2, it must not be used until the kernel gives it up.
func TestClient_LeavesADeadConnectionOfHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newWire()
		backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, r.Proto)
		}))
		backend.Listener.Close()
		backend.Listener, backend.EnableHTTP2 = listener, true
		backend.StartTLS()
		defer backend.Close()
		c := NewClient()
		defer c.Close()
		by := c.http.Transport.(*http.Transport)
		by.DialContext = listener.dial
		by.TLSClientConfig = backend.Client().Transport.(*http.Transport).TLSClientConfig
		ask := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, answer, err := c.Post(ctx, "https://example.com/", http.Header{}, []byte("{}"), true)
			if err == nil && string(answer) != "HTTP/2.0" {
				t.Fatalf("asked over %s", answer)
			}
			return err
		}
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		listener.cut()
		began := time.Now()
		for ask() != nil {
			if time.Since(began) > time.Minute {
				t.Fatal("the dead connection is still used")
			}
			time.Sleep(time.Second)
		}
	})
}

// wire is a listener whose connections are in memory.
type wire struct {
	came  chan net.Conn
	close func()

	mu   sync.Mutex
	dead []*atomic.Bool // one for each connection so far
}

func newWire() *wire {
	came := make(chan net.Conn)
	return &wire{came: came, close: sync.OnceFunc(func() { close(came) })}
}

func (w *wire) Accept() (net.Conn, error) {
	c, open := <-w.came
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (w *wire) Close() error   { w.close(); return nil }
func (w *wire) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (w *wire) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	w.came <- far
	dead := new(atomic.Bool)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = append(w.dead, dead)
	return &swallowing{near, dead}, nil
}

// cut makes all connections so far lose what is written to them.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, dead := range w.dead {
		dead.Store(true)
	}
}

type swallowing struct {
	net.Conn
	dead *atomic.Bool
}

func (s *swallowing) Write(p []byte) (int, error) {
	if s.dead.Load() {
		return len(p), nil
	}
	return s.Conn.Write(p)
}
