package centrifuge_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"tidegate/broker/brokertest"
)

// TestBrowser has the official client's bundles talk in a real Chromium.
func TestBrowser(t *testing.T) {
	_, nodes := startNodes(t, "one", "two")
	folder, browser := installSDK(t), startBrowser(t)
	for bundle, encode := range map[string]string{
		"centrifuge.js":          "const encode = (v) => v, decode = (d) => d",
		"centrifuge.protobuf.js": "const encode = (v) => new TextEncoder().encode(JSON.stringify(v)), decode = (d) => JSON.parse(new TextDecoder().decode(d))",
	} {
		t.Run(bundle, func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join(folder, "node_modules/centrifuge/dist", bundle))
			if err != nil {
				t.Fatal(err)
			}
			talk := encode + `
				const [one, two] = ["` + nodes[0].url + `", "` + nodes[1].url + `"].map((url) =>
					new Centrifuge(url.replace("http", "ws") + "/connection/websocket", { token: "user alice" }))
				const sub = two.newSubscription("browser")
				const heard = new Promise((resolve) => sub.on("publication", (ctx) => resolve(decode(ctx.data).text + " by " + ctx.info.user)))
				sub.subscribe(); one.connect(); two.connect()
				await sub.ready(20000)
				await one.publish("browser", encode({ text: "hi" }))
				const said = await heard
				one.disconnect(); two.disconnect()
				return said`
			tab, end := chromedp.NewContext(browser)
			defer end()
			ctx, cancel := context.WithTimeout(tab, patience)
			defer cancel()
			if _, err := chromedp.Run(ctx, chromedp.Navigate(nodes[0].url+"/page")); err != nil {
				t.Fatal(err)
			}
			if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](string(source)+"\n;true")); err != nil {
				t.Fatal(err)
			}
			said, err := chromedp.Run(ctx, chromedp.Evaluate[string]("(async () => {"+talk+"})()", chromedp.EvalAwaitPromise))
			if err != nil || said != "hi by alice" {
				t.Errorf("the page heard %q, %v", said, err)
			}
		})
	}
}

// startBrowser runs a real headless Chromium until the test ends.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	program := brokertest.FindProgram(t, "chromium", "chromium-browser", "google-chrome")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(patience),
	)
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	browser, _ := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		defer endAllocator()
		if err := chromedp.Cancel(browser); err != nil {
			t.Logf("close the browser: %v", err)
		}
	})
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return browser
}
