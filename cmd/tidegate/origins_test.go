package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"

	"tidegate/gateway/gatewaytest"
)

// A page of another origin is told whether the gateway lets it in: it never looks connected
// to a gateway that refuses all that it asks for.
func TestOrigins_TheBrowserClientKnowsWhetherItsPageIsAllowed(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><script type="module">
			const gateway = location.hash.slice(1);
			const { Tidegate } = await import(gateway + "/tidegate.js");
			window.tide = new Tidegate(gateway, { transports: ["sse"], minDelay: 50 });
		</script>`)
	}))
	t.Cleanup(page.Close)
	browser := gatewaytest.StartBrowser(t)
	for origin, want := range map[string]string{
		page.URL:                  `tide.status.state === "connected"`,
		"https://app.example.com": `tide.status.state === "waiting" && tide.status.reason.includes("does not answer here")`,
	} {
		node := startReady(t, nil, "--config", write(t, "tidegate.yaml", fmt.Sprintf("origins: [%q]\nchannels: [{match: '*', subscribe: anyone}]", origin)))
		tab, end := chromedp.NewContext(browser)
		t.Cleanup(end)
		if _, err := chromedp.Run(tab, chromedp.Navigate(page.URL+"/#"+node.public(""))); err != nil {
			t.Fatal(err)
		}
		talker := &browserTalker{t: t, tab: tab}
		talker.until(`"tide" in window && ` + want)
	}
}
