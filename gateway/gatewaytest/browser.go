package gatewaytest

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"

	"tidegate/broker/brokertest"
)

// StartBrowser runs a real headless Chromium until the test ends. It returns the context in
// which to open tabs.
func StartBrowser(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	program := brokertest.FindProgram(t, "chromium", "chromium-browser", "google-chrome")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(brokertest.Patience),
	)
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), append(options, more...)...)
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
