package console_test

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"tidegate/gateway/gatewaytest"
)

// startBrowser runs Chromium with a window of desktop size.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	return gatewaytest.StartBrowser(t, chromedp.WindowSize(1400, 900))
}

// page is a browser tab that shows the console.
type page struct {
	t   *testing.T
	ctx context.Context
}

// openPage opens a URL in a new tab. An uncaught error in the page, or a violation of its
// content security policy, fails the test.
func openPage(t *testing.T, browser context.Context, url string) *page {
	t.Helper()
	ctx, end := chromedp.NewContext(browser)
	t.Cleanup(end)
	err := chromedp.Listen(ctx, func(event any) {
		if thrown, ok := event.(*runtime.EventExceptionThrown); ok {
			t.Errorf("uncaught in the page: %+v", thrown.ExceptionDetails)
		}
	})
	if err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	if _, err := chromedp.Run(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	return &page{t: t, ctx: ctx}
}

// until waits until an expression, which may await, is true. It evaluates it from outside the page, because
// the page's policy does not let scripts evaluate code.
func (p *page) until(what, expression string) {
	p.t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !evaluate[bool](p, "(async () => Boolean("+expression+"))()") {
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("waited in vain: %s; the page says:\n%s", what, p.text("body"))
		}
	}
}

func (p *page) text(selector string) string {
	p.t.Helper()
	return evaluate[string](p, "document.querySelector("+quote(selector)+").innerText")
}

// do runs code in the page as the body of an async function.
func (p *page) do(body string) {
	p.t.Helper()
	evaluate[bool](p, "(async () => {"+body+"; return true })()")
}

func evaluate[T any](p *page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return value
}

func (p *page) connected() *page {
	p.t.Helper()
	p.until("the page is connected", `document.querySelector(".pulse").dataset.state === "connected"`)
	return p
}

func (p *page) subscribe(channel string) {
	p.t.Helper()
	p.do(`const f = document.querySelector("#channel"); f.value = ` + quote(channel) + `; f.form.requestSubmit()`)
	p.until("subscribed to "+channel, `[...document.querySelectorAll("#channels li")].some((li) => li.dataset.state === "on" && li.innerText.includes(`+quote(channel)+`))`)
}

func (p *page) publish(channel, payload string) {
	p.t.Helper()
	p.do(`document.querySelector("#publish-note").textContent = "";
		document.querySelector("#publish-channel").value = ` + quote(channel) + `;
		document.querySelector("#payload").value = ` + quote(payload) + `;
		document.querySelector("#publish").requestSubmit()`)
	p.until("the publish is confirmed", `document.querySelector("#publish-note").textContent.startsWith("Confirmed")`)
}

func (p *page) shows(selector, text string) {
	p.t.Helper()
	p.until("the page shows "+text, `document.querySelector(`+quote(selector)+`)?.innerText.includes(`+quote(text)+`)`)
}
