package pusher

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/gatewaytest"
)

// haproxyConfig sends consecutive requests to different nodes. An optional line refuses
// WebSockets. The listener is file descriptor 3.
const haproxyConfig = `
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 75s
    timeout tunnel 1h
frontend clients
    bind fd@3
    %s
    default_backend gateway
backend gateway
    balance roundrobin
    server a %s
    server b %s
`

const noWebSocket = "http-request deny if { hdr(Upgrade) -i websocket }"

// startHAProxy runs HAProxy until the test ends, and returns its address.
func startHAProxy(t *testing.T, nodes []*node, rule string) (host string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	must(t, err)
	defer socket.Close()
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	must(t, os.WriteFile(file, fmt.Appendf(nil, haproxyConfig, rule, nodes[0].host(), nodes[1].host()), 0o600))
	var log strings.Builder
	balancer := exec.Command(brokertest.FindProgram(t, "haproxy"), "-db", "-f", file)
	balancer.ExtraFiles, balancer.Stdout, balancer.Stderr = []*os.File{socket}, &log, &log
	must(t, balancer.Start())
	t.Cleanup(func() {
		_ = balancer.Process.Signal(syscall.SIGTERM) // it may have ended already
		_ = balancer.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return listener.Addr().String()
}

// startSite serves an application: a page that loads the official library, and the endpoint
// that signs its subscriptions.
func startSite(t *testing.T, library string) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><script src="/library.js"></script>`)
	})
	mux.HandleFunc("GET /library.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, library) })
	mux.HandleFunc("POST /auth", func(w http.ResponseWriter, r *http.Request) {
		text := subscriptionText(r.FormValue("socket_id"), r.FormValue("channel_name"), "")
		fmt.Fprintf(w, `{"auth":"%s:%s"}`, shop.Key, sign(shop.Secret, text))
	})
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	return site.URL
}

// chat runs two clients in a page. One sends long events until the library has replaced a
// stream that became too long; the other must receive all of them.
const chat = `(async () => {
	const [host, port] = %q.split(":")
	const make = () => new Pusher(%q, {
		wsHost: host, wsPort: +port, httpHost: host, httpPort: +port, forceTLS: false, cluster: "any",
		channelAuthorization: { endpoint: "/auth" },
	})
	const join = (client) => new Promise((joined) => {
		const channel = client.subscribe("private-chat")
		channel.bind("pusher:subscription_succeeded", () => joined(channel))
	})
	const clients = [make(), make()], [alice, bob] = await Promise.all(clients.map(join))
	const connected = clients.map((client) => client.connection.socket_id)
	let heard = 0, next = () => {}
	bob.bind("client-said", (said) => {
		if (said.number !== heard) throw new Error("heard " + said.number + " after " + heard)
		heard++
		next()
	})
	for (let number = 0; number < %d; number++) {
		const isHeard = new Promise((done) => { next = done })
		alice.trigger("client-said", { number, text: "x".repeat(7000) + "é€🙂".repeat(100) })
		await isHeard
		await new Promise((done) => setTimeout(done, 105)) // ten a second are allowed
	}
	const still = clients.map((client) => client.connection.socket_id)
	const how = clients.map((client) => client.connection.connection.transport.name)
	clients.forEach((client) => client.disconnect())
	return [heard, String(still) === String(connected), ...how].join(" ")
})()`

// The page is of another origin and connects through HAProxy to two nodes.
func TestBrowser_ChatsWithTheWebSocketOpenAndBlocked(t *testing.T) {
	library := filepath.Join(officialPackages(t), "node_modules/pusher-js/dist/web/pusher.js")
	nodes, _ := startPair(t, gateway.Config{})
	browser, site := gatewaytest.StartBrowser(t), startSite(t, library)
	for _, c := range []struct {
		name, rule string
		events     int
		want       string
	}{
		{"open", "", 5, "5 true ws ws"},
		{"blocked", noWebSocket, 40, "40 true xhr_streaming xhr_streaming"},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := startHAProxy(t, nodes, c.rule)
			tab, end := chromedp.NewContext(browser)
			defer end()
			ctx, cancel := context.WithTimeout(tab, 2*patience)
			defer cancel()
			if _, err := chromedp.Run(ctx, chromedp.Navigate(site)); err != nil {
				t.Fatal(err)
			}
			got, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf(chat, host, shop.Key, c.events), chromedp.EvalAwaitPromise))
			if err != nil || got != c.want {
				t.Errorf("the page says %q, %v; want %q", got, err, c.want)
			}
		})
	}
}
