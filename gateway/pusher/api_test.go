package pusher

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	official "github.com/pusher/pusher-http-go/v5"

	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// signedQuery signs a request as the documentation says. It builds the text to sign without
// the code under test.
func signedQuery(a App, method, path, query, body string) string {
	values, _ := url.ParseQuery(query)
	values.Set("auth_key", a.Key)
	values.Set("auth_timestamp", strconv.FormatInt(time.Now().Unix(), 10))
	values.Set("auth_version", "1.0")
	if body != "" {
		sum := md5.Sum([]byte(body))
		values.Set("body_md5", hex.EncodeToString(sum[:]))
	}
	plain, _ := url.QueryUnescape(values.Encode()) // sorted by name
	values.Set("auth_signature", sign(a.Secret, method+"\n"+path+"\n"+plain))
	return values.Encode()
}

func (n *node) answer(r *http.Request) (status int, body string) {
	n.t.Helper()
	response, err := http.DefaultClient.Do(r)
	must(n.t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	must(n.t, err)
	return response.StatusCode, strings.TrimSpace(string(content))
}

// backend returns a client of the official library for backends.
func (n *node) backend(a App) *official.Client {
	n.t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return &official.Client{AppID: a.ID, Key: a.Key, Secret: a.Secret, Host: n.host(), HTTPClient: http.DefaultClient}
}

func TestAPI_TheOfficialGoLibraryPublishes(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: rules.Development()})
	backend := n.backend(shop)
	news, private := n.native("news"), n.native("private-x")

	must(t, backend.Trigger("news", "said", map[string]string{"text": "hi"}))
	if f := news.finds("type", "message"); f.text("event") != "said" || fmt.Sprint(f["data"]) != "map[text:hi]" {
		t.Errorf("heard %v", f)
	}
	must(t, backend.TriggerMulti([]string{"news", "private-x"}, "plain", "not JSON"))
	for _, p := range []*peer{news, private} {
		if f := p.finds("event", "plain"); f.text("text") != "not JSON" {
			t.Errorf("heard %v", f)
		}
	}
	if _, err := backend.TriggerBatch([]official.Event{
		{Channel: "news", Name: "first", Data: "1"}, {Channel: "private-x", Name: "other", Data: "2"}, {Channel: "news", Name: "second", Data: "3"},
	}); err != nil {
		t.Fatal(err)
	}
	news.finds("event", "first")
	news.finds("event", "second")
	private.finds("event", "other")

	count := "subscription_count"
	answer, err := backend.TriggerWithParams("news", "counted", "1", official.TriggerParams{Info: &count})
	if err != nil || *answer.Channels["news"].SubscriptionCount != 1 {
		t.Errorf("asked for the count: %+v, %v", answer, err)
	}
	batch, err := backend.TriggerBatch([]official.Event{{Channel: "news", Name: "e", Data: "1", Info: &count}, {Channel: "nobody", Name: "e", Data: "1", Info: &count}})
	if err != nil || len(batch.Batch) != 2 || *batch.Batch[0].SubscriptionCount != 1 || *batch.Batch[1].SubscriptionCount != 0 {
		t.Errorf("asked for counts in a batch: %+v, %v", batch, err)
	}
	channels, err := backend.Channels(official.ChannelsParams{})
	if _, listed := channels.Channels["news"]; err != nil || len(channels.Channels) != 2 || !listed {
		t.Errorf("the channels are %+v, %v", channels, err)
	}
	info := "subscription_count"
	channel, err := backend.Channel("news", official.ChannelParams{Info: &info})
	if err != nil || !channel.Occupied || channel.SubscriptionCount != 1 {
		t.Errorf("the channel is %+v, %v", channel, err)
	}
	empty, err := backend.Channel("nobody", official.ChannelParams{})
	if err != nil || empty.Occupied {
		t.Errorf("a channel without subscribers is %+v, %v", empty, err)
	}
}

// Libraries escape some characters of the data, such as < in Go, or all that are not ASCII.
func TestAPI_ABatchMayBeEscaped(t *testing.T) {
	n := startNode(t, gateway.Config{})
	backend := official.Client{AppID: shop.ID, Key: shop.Key, Secret: shop.Secret, Host: n.host()}
	batch := make([]official.Event, mostBatch)
	for i := range batch {
		batch[i] = official.Event{Channel: "news", Name: "said", Data: strings.Repeat("<", DefaultEventBytes)}
	}
	if _, err := backend.TriggerBatch(batch); err != nil {
		t.Error(err)
	}
}

// The id of a user may have a * in it.
func TestAPI_CountsOneUserAlone(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p, socket := n.connect(shop)
	p.say(fmt.Sprintf(`{"event":"pusher:signin","data":{"auth":%q,"user_data":"{\"id\":\"erin\"}"}}`, shop.Key+":"+sign(shop.Secret, signInText(socket, `{"id":"erin"}`))))
	p.finds("event", "pusher:signin_success")
	for user, want := range map[string]int{"erin": 1, "*": 0} {
		event := fmt.Sprintf(`{"name":"e","channel":"#server-to-user-%s","data":"1","info":"subscription_count"}`, user)
		status, answer := n.request(shop, "POST", "/apps/3/events", "", event)
		if status != 200 || !strings.Contains(answer, fmt.Sprintf(`"subscription_count":%d`, want)) {
			t.Errorf("%s: %d %s, want %d", user, status, answer, want)
		}
	}
}

func TestAPI_Refuses(t *testing.T) {
	disabled := App{ID: "off", Key: "off", Secret: "s", Disabled: true}
	n := startNode(t, gateway.Config{}, shop, disabled)
	large := func(bytes int) string {
		return fmt.Sprintf(`{"name":"e","channel":"c","data":%q}`, strings.Repeat("x", bytes))
	}
	channels := func(count int) string {
		return `{"name":"e","data":"1","channels":["c"` + strings.Repeat(`,"c"`, count-1) + `]}`
	}
	event := `{"name":"e","channel":"c","data":"1"}`
	events, batches := "/apps/3/events", "/apps/3/batch_events"
	for _, c := range []struct {
		app                      App
		method, path, query, say string
		status                   int
		why                      string
	}{
		{shop, "POST", events, "", event, 200, "{}"},
		{shop, "POST", events, "", large(10240), 200, "{}"},
		{shop, "POST", events, "", large(10241), 413, "10240"},
		{shop, "POST", events, "", channels(100), 200, "{}"},
		{shop, "POST", events, "", channels(101), 400, "100"},
		{shop, "POST", events, "", "", 400, "JSON"},
		{shop, "POST", events, "", "[]", 400, "JSON"},
		{shop, "POST", events, "", `{"name":"e","channel":"c","data":{}}`, 400, "string"},
		{shop, "POST", events, "", `{"name":"e","channel":"c"}`, 400, "data"},
		{shop, "POST", events, "", `{"channel":"c","data":"1"}`, 400, "name"},
		{shop, "POST", events, "", `{"name":"e","data":"1"}`, 400, "channels"},
		{shop, "POST", events, "", `{"name":"pusher:error","channel":"c","data":"1"}`, 400, "pusher:"},
		{shop, "POST", events, "", `{"name":"e","channel":"a b","data":"1"}`, 400, "name"},
		{shop, "POST", events, "", `{"name":"e","channel":"@alice","data":"1"}`, 400, "@"},
		{shop, "POST", events, "", `{"name":"e","channel":"c","data":"1","socket_id":"x"}`, 400, "socket_id"},
		{shop, "POST", events, "", `{"name":"` + strings.Repeat("x", 201) + `","channel":"c","data":"1"}`, 400, "200"},
		{shop, "POST", events, "", strings.Repeat(" ", 1<<20), 413, "bytes"},
		{shop, "POST", batches, "", `{"batch":[` + event + strings.Repeat(","+event, 9) + `]}`, 200, "{}"},
		{shop, "POST", batches, "", `{"batch":[` + event + strings.Repeat(","+event, 10) + `]}`, 400, "10"},
		{shop, "POST", batches, "", `{"batch":[{}]}`, 400, "name"},
		{shop, "POST", batches, "", `{"batch":{}}`, 400, "list"},
		{shop, "POST", batches, "", `{"batch":null}`, 200, "{}"},
		{shop, "GET", "/apps/3/channels", "info=user_count", "", 400, "presence"},
		{shop, "GET", "/apps/3/channels", "info=user_count&filter_by_prefix=presence-", "", 200, `{"channels":{}}`},
		{shop, "GET", "/apps/3/channels", "filter_by_prefix=*", "", 400, "filter_by_prefix"},
		{shop, "GET", "/apps/3/channels/c", "info=user_count", "", 400, "presence"},
		{shop, "GET", "/apps/3/channels/a:b", "", "", 400, "name"},
		{shop, "GET", "/apps/3/channels/c/users", "", "", 400, "presence"},
		{shop, "GET", "/apps/3/channels/presence-c/users", "", "", 200, `{"users":[]}`},
		{shop, "POST", "/apps/3/users/nobody/terminate_connections", "", "{}", 200, "{}"},
		{shop, "POST", "/apps/3/users/nobody/terminate_connections", "", "", 200, "{}"},
		{shop, "POST", "/apps/4/events", "", event, 404, "app"},
		{shop, "GET", "/apps/3/nothing", "", "", 404, ""},
		{disabled, "POST", "/apps/off/events", "", event, 403, "disabled"},
		{App{Key: shop.Key, Secret: "wrong"}, "POST", events, "", event, 401, "auth_signature"},
		{App{Key: "wrong", Secret: shop.Secret}, "POST", events, "", event, 401, "auth_key"},
	} {
		status, answer := n.request(c.app, c.method, c.path, c.query, c.say)
		if status != c.status || !strings.Contains(answer, c.why) {
			t.Errorf("%s %s?%s %.60s: %d %s, want %d with %q", c.method, c.path, c.query, c.say, status, answer, c.status, c.why)
		}
	}
}

// The query contains the digest of the body, so the signature covers the body, too.
func TestAPI_AnotherBodyThanWasSignedIsRefused(t *testing.T) {
	n := startNode(t, gateway.Config{})
	const signed, sent = `{"name":"e","channel":"c","data":"1"}`, `{"name":"e","channel":"c","data":"2"}`
	query := signedQuery(shop, "POST", "/apps/3/events", "", signed)
	r, err := http.NewRequest("POST", n.server.URL+"/apps/3/events?"+query, strings.NewReader(sent))
	must(t, err)
	if status, answer := n.answer(r); status != http.StatusUnauthorized || !strings.Contains(answer, "body_md5") {
		t.Errorf("%d %s", status, answer)
	}
}

func TestAPI_AnAppSeesAndReachesItsOwnChannelsOnly(t *testing.T) {
	one, two := App{ID: "1", Key: "one", Secret: "s1", Prefix: "one:"}, App{ID: "2", Key: "two", Secret: "s2", Prefix: "two:"}
	n := startNode(t, gateway.Config{Rules: rules.Development()}, one, two)
	of1, of2 := n.native("one:news"), n.native("two:news")
	must(t, n.backend(one).Trigger("news", "e", "from one"))
	if err := n.backend(two).Trigger("news", "e", "from two"); err != nil {
		t.Fatal(err)
	}
	if f := of1.finds("type", "message"); f.text("text") != "from one" {
		t.Errorf("the first app's client heard %v", f)
	}
	if f := of2.finds("type", "message"); f.text("text") != "from two" {
		t.Errorf("the second app's client heard %v", f)
	}
	channels, err := n.backend(one).Channels(official.ChannelsParams{})
	if err != nil || len(channels.Channels) != 1 {
		t.Errorf("the first app has the channels %+v, %v", channels, err)
	}
}

func TestAPI_IsUnavailableWithoutTheBroker(t *testing.T) {
	n := startNode(t, gateway.Config{})
	n.stop()
	status, answer := n.request(shop, "POST", "/apps/3/events", "", `{"name":"e","channel":"c","data":"1"}`)
	if status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", status, answer)
	}
}

// Decoding stops at the first item beyond the maximum, so the cost does not grow with the
// rest of the body.
func TestDecode_StopsAtTheFirstItemTooMany(t *testing.T) {
	list := func(item string) []byte { return []byte("[" + item + strings.Repeat(","+item, 50_000) + "]") }
	for name, decode := range map[string]func() error{
		"batch":    func() error { return new(batch).UnmarshalJSON(list(`{"name":"e","channel":"c","data":"1"}`)) },
		"channels": func() error { return new(channelNames).UnmarshalJSON(list(`"c"`)) },
		"sent": func() error {
			commands, _ := lined{}.Decode(gateway.Frame{Data: list(`"{}"`)})
			if refused, is := commands[0].(gateway.Malformed); is {
				return errors.New(refused.Reason)
			}
			return nil
		},
	} {
		var err error
		if made := testing.AllocsPerRun(1, func() { err = decode() }); err == nil || made > 2000 {
			t.Errorf("%s: %v after %.0f allocations", name, err, made)
		}
	}
}
