package api_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/api"
	"tidegate/gateway/rules"
)

// repeated is a reader that returns a beginning and then repeats the same bytes.
type repeated struct {
	begin, again string
	read         int
}

func (r *repeated) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if r.begin == "" {
			r.begin = r.again
		}
		copied := copy(p[n:], r.begin)
		r.begin = r.begin[copied:]
		n += copied
	}
	r.read += n
	return n, nil
}

func TestBatch_IsReadNoFurtherThanTheFirstThingWrong(t *testing.T) {
	for name, body := range map[string]*repeated{
		"items without a payload": {begin: "[", again: "{},"},
		"too many items":          {begin: "[", again: `{"channels":["a"],"data":1},`},
		"no list":                 {begin: "{", again: `"a":1,`},
		"not UTF-8":               {begin: `[{"channels":["a"],"text":"` + "\xff", again: "x"},
	} {
		publishes, err := api.ParseBatch(body)
		if err == nil || len(publishes) > 0 {
			t.Errorf("%s: %d publishes, %v", name, len(publishes), err)
		}
		if most := 128 << 10; body.read > most {
			t.Errorf("%s: %d bytes were read, want at most %d", name, body.read, most)
		}
	}
}

func TestBatch_AnItemWithTooManyChannelsIsRefused(t *testing.T) {
	body := `[{"channels":["a"` + strings.Repeat(`,"a"`, 1_000_000) + `],"data":1}]`
	allocated := testing.AllocsPerRun(1, func() {
		if _, err := api.ParseBatch(strings.NewReader(body)); gateway.ErrorOf(err).Code != gateway.TooLarge {
			t.Errorf("1,000,001 channels: %v", err)
		}
	})
	if allocated > 10_000 {
		t.Errorf("%v allocations to refuse it", allocated)
	}
}

// unread is a body that fails the test if it is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body of somebody who may not publish is read")
	return 0, io.EOF
}

func TestBatch_WhoMayPublishNowhereIsRefusedBeforeTheBodyIsRead(t *testing.T) {
	g, err := gateway.New(gateway.Config{Broker: broker.NewMemory(), Rules: rules.List{{Match: "*", Subscribe: rules.Anyone}}})
	must(t, err)
	w := httptest.NewRecorder()
	api.New(api.Config{Gateway: g}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/messages", unread{t}))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("answered with %d %s", w.Code, w.Body)
	}
}

func TestRates_HoldOverHTTP(t *testing.T) {
	limits := gateway.DefaultLimits()
	limits.CommandsPerSecond = 20
	n := startNode(t, limits)
	item := `{"channels":["open:a","open:a","open:a","open:a","open:a","open:a","open:a","open:a","open:a","open:a"],"data":1}`
	batch := call{method: "POST", path: "/api/messages", body: "[" + strings.Repeat(item+",", 49) + item + "]"}
	began := time.Now()
	status, body, header := n.do(batch)
	if status != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
		t.Errorf("500 publishes in one batch: %d %v", status, header)
	}
	most := 20 + int64(20*time.Since(began).Seconds()+1)
	if got := n.broker.tried.Load(); got < 20 || got > most {
		t.Errorf("%d of 500 publishes of an anonymous client went out, want 20 and 20 a second, %d", got, most)
	}
	if refused := int64(strings.Count(body, `"rate_limited"`)); refused < 500-most {
		t.Errorf("%d results say rate_limited", refused)
	}
	for _, c := range []call{{method: "POST", path: "/api/channels/open:a/messages", body: "1"}, {method: "GET", path: "/api/channels/log:a/messages"}} {
		refused := 0
		for range 100 { // a slow machine may need so long for one that the next has room again
			if status, _, _ := n.do(c); status == http.StatusTooManyRequests {
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("100 times %s %s: none was refused", c.method, c.path)
		}
	}
	batch.credential = shopKey
	n.expect(batch, 200, "cursor")
}

func TestRates_NewChannelsAreBoundedOverHTTP(t *testing.T) {
	limits := gateway.DefaultLimits()
	limits.CommandsPerSecond, limits.ChannelsPerSession = 1000, 10
	n := startNode(t, limits)
	var items []string
	for i := range 600 {
		items = append(items, `{"channels":["kept:`+strings.Repeat("x", i%200+1)+string(rune('a'+i/200))+`"],"data":1}`)
	}
	_, body, _ := n.do(call{method: "POST", path: "/api/messages", body: "[" + strings.Join(items, ",") + "]"})
	if !strings.Contains(body, "new channels") {
		t.Errorf("600 new channels at once passed: %.300s", body)
	}
}

func TestBodies_AreBoundedInAll(t *testing.T) {
	limits := gateway.DefaultLimits()
	limits.InboundBytes = 8 << 20 // one batch
	n := startNode(t, limits)
	body, finish := io.Pipe()
	batch, held := newHeld(t, n.url+"/api/messages", body)
	answered := make(chan error, 1)
	go func() {
		response, err := n.client.Do(batch)
		if err == nil {
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				err = errors.New(response.Status)
			}
		}
		answered <- err
	}()
	<-held
	publish := call{method: "POST", path: "/api/channels/open:a/messages", credential: shopKey, body: "1"}
	n.expect(publish, 503, "inbound_bytes")
	_, err := io.WriteString(finish, `[{"channels":["open:a"],"data":1}]`)
	must(t, err)
	must(t, finish.Close())
	must(t, <-answered)
	awaitStatus(t, n, publish, 200)
}
