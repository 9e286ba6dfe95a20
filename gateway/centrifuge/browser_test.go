package centrifuge_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"tidegate/gateway/gatewaytest"
)

// bundles are the scripts that pages load, and what they add to speak JSON with each.
var bundles = map[string]string{
	"centrifuge.js":          "const encode = (v) => v, decode = (d) => d;",
	"centrifuge.protobuf.js": "const encode = (v) => new TextEncoder().encode(JSON.stringify(v)), decode = (d) => JSON.parse(new TextDecoder().decode(d));",
}

// TestBrowser runs the bundles of the official client in a real Chromium.
func TestBrowser(t *testing.T) {
	_, nodes := startNodes(t, "one", "two")
	folder, browser := installSDK(t), gatewaytest.StartBrowser(t)
	for bundle := range bundles {
		t.Run(bundle, func(t *testing.T) {
			talk := `
				const [one, two] = ["` + nodes[0].url + `", "` + nodes[1].url + `"].map((url) =>
					new Centrifuge(url.replace("http", "ws") + "/connection/websocket", { token: "user alice" }))`
			if said := talkOnPage(t, browser, folder, bundle, nodes[0].url, talk); said != "hi by alice over websocket" {
				t.Errorf("the page heard %q", said)
			}
		})
	}
}

// TestBrowser_WithoutWebSockets runs the bundles in a real Chromium behind a proxy that blocks
// WebSockets, so that they fall back to streams. Their commands go to the other node.
func TestBrowser_WithoutWebSockets(t *testing.T) {
	_, nodes := startNodes(t, "one", "two")
	folder, browser := installSDK(t), gatewaytest.StartBrowser(t)
	var urls []string
	for _, n := range nodes {
		urls = append(urls, withoutWebSockets(t, n))
	}
	for _, way := range []struct{ bundle, transport string }{
		{"centrifuge.js", "http_stream"}, {"centrifuge.js", "sse"}, {"centrifuge.protobuf.js", "http_stream"},
	} {
		t.Run(way.bundle+"/"+way.transport, func(t *testing.T) {
			talk := `
				const urls = ["` + urls[0] + `", "` + urls[1] + `"]
				const [one, two] = urls.map((url, i) => new Centrifuge([
					{ transport: "websocket", endpoint: url.replace("http", "ws") + "/connection/websocket" },
					{ transport: "` + way.transport + `", endpoint: url + "/connection/` + way.transport + `" },
				], { token: "user alice", emulationEndpoint: urls[1 - i] + "/emulation", minReconnectDelay: 50, maxReconnectDelay: 200 }))`
			if said := talkOnPage(t, browser, folder, way.bundle, urls[0], talk); said != "hi by alice over "+way.transport {
				t.Errorf("the page heard %q", said)
			}
		})
	}
}

// talkOnPage runs talk's two clients on a page and returns what they heard.
func talkOnPage(t *testing.T, browser context.Context, folder, bundle, url, talk string) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(folder, "node_modules/centrifuge/dist", bundle))
	must(t, err)
	talk = bundles[bundle] + talk + `
		const sub = two.newSubscription("browser")
		const heard = new Promise((resolve) => sub.on("publication", (ctx) => resolve(decode(ctx.data).text + " by " + ctx.info.user)))
		const over = new Promise((resolve) => two.on("connected", (ctx) => resolve(ctx.transport)))
		sub.subscribe(); one.connect(); two.connect()
		await sub.ready(20000)
		await one.publish("browser", encode({ text: "hi" }))
		const said = (await heard) + " over " + (await over)
		one.disconnect(); two.disconnect()
		return said`
	tab, end := chromedp.NewContext(browser)
	defer end()
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Navigate(url+"/page")); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](string(source)+"\n;true")); err != nil {
		t.Fatal(err)
	}
	said, err := chromedp.Run(ctx, chromedp.Evaluate[string]("(async () => {"+talk+"})()", chromedp.EvalAwaitPromise))
	must(t, err)
	return said
}

// withoutWebSockets returns the address of a proxy that blocks WebSockets.
func withoutWebSockets(t *testing.T, n *node) string {
	target, err := url.Parse(n.url)
	must(t, err)
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Transport: &http.Transport{}, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			http.Error(w, "no WebSockets here", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		proxy.Transport.(*http.Transport).CloseIdleConnections()
	})
	return server.URL
}
