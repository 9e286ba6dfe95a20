package console_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// look is a size of the screen and a color scheme.
type look struct {
	width  int64
	scheme string
}

func (l look) String() string { return fmt.Sprintf("%d pixels wide, %s", l.width, l.scheme) }

// looks lists a wide screen with light colors and the narrowest phone with dark ones.
var looks = []look{{1400, "light"}, {320, "dark"}}

// eachState brings a page into each state that users may see, and checks it in each look.
func eachState(t *testing.T, browser context.Context, judge func(*page) []string) {
	t.Helper()
	nodes := newCluster(t)
	stop := nodes.start()
	p := openPage(t, browser, nodes.url()).connected()
	see := func(state string) {
		t.Helper()
		for _, look := range looks {
			p.see(look)
			for _, fault := range judge(p) {
				t.Errorf("%s, %s: %s", state, look, fault)
			}
		}
	}
	open := func(hash, selector, text string) {
		t.Helper()
		p.do(`location.hash = ` + quote(hash))
		p.shows(selector, text)
	}

	see("nothing subscribed")
	p.do(`document.querySelector("#token").value = "user alice"; document.querySelector("#connect").requestSubmit()`)
	p.shows("#fact-user", "alice")
	p.subscribe("orders")
	p.publish("orders", `{"order": 1}`)
	p.shows("#messages", "order")
	p.shows("#members", "alice")
	p.do(`const f = document.querySelector("#channel"); f.value = "@bob"; f.form.requestSubmit()`)
	p.until("it is refused", `document.querySelector("#channels [data-state=refused]")`)
	p.do(`document.querySelector(".channel[aria-pressed=true]").click(); document.querySelector("#payload").value = "{"; document.querySelector("#publish").requestSubmit()`)
	p.shows("#publish-note", "not JSON")
	p.shows("#messages", "order")
	see("with messages, a channel that is refused, and a payload that is not JSON")
	p.do(`document.querySelector("#messages .message .line").click()`)
	p.until("the message is open", `document.querySelector("#detail").open`)
	see("a message in full")
	p.do(`document.querySelector("#detail").close(); document.querySelector("#tab-timeline").click()`)
	see("the timeline")
	p.do(`document.querySelector("#tab-frames").click()`)
	p.shows("#frames", "subscribe")
	see("the frames")
	p.do(`document.querySelector("#tab-messages").click(); document.querySelector("#pause").click()
		const f = document.querySelector("#filter"); f.value = "nothing has this"; f.dispatchEvent(new Event("input"))`)
	p.shows("#messages-empty", "No message matches")
	see("paused, with a filter that nothing passes")
	p.do(`document.querySelector("#pause").click(); const f = document.querySelector("#filter"); f.value = ""; f.dispatchEvent(new Event("input"))`)

	open("#cluster?user=alice", "#user-sessions", "orders")
	see("the cluster")
	p.do(`document.querySelector("#key").value = "wrong"; document.querySelector("#key-form").requestSubmit()`)
	p.until("the key is refused", `document.querySelector("#cluster-note").textContent`)
	see("the cluster, with a wrong key")
	open("#examples/chat", ".people", "alice")
	see("the chat")
	nodes.publish("clock", `{"time": "2026-11-28T09:30:00Z"}`)
	open("#examples/clock", "#example", "Waiting")
	nodes.publish("clock", `{"time": "2026-11-28T09:30:01Z"}`)
	see("the clock")
	open("#examples/user", "#example", "Listening on @alice")
	see("messages to a user")
	nodes.publish("logs:demo", `"WARN disk is 91% full"`)
	open("#examples/log", "#example", "91%")
	see("the log")
	open("#examples/echo", "#example", "median")
	see("the echo")
	open("#tools?user=ada", "#verdict", "ada may not")
	p.do(`document.querySelector("#tool-rules").value = "news chat:*"; document.querySelector("#tool-rules").dispatchEvent(new Event("input")); document.querySelector("#token-form").requestSubmit()`)
	p.shows("#token-text", "user ada")
	p.shows("#verdict", "ada may subscribe")
	see("a token, and what rules come to")
	p.do(`const f = document.querySelector("#tool-channel"); f.value = "no spaces"; f.dispatchEvent(new Event("input"))`)
	p.until("the channel cannot be", `document.querySelector("#verdict .problem")`)
	see("rules, for a channel that cannot be")

	open("#console", "#messages", "order")
	for i := range 30 {
		p.do(fmt.Sprintf(`const f = document.querySelector("#channel"); f.value = "a:rather:long:name:of:a:channel:%d"; f.form.requestSubmit()`, i))
	}
	p.until("all are subscribed", `document.querySelectorAll("#channels [data-state=on]").length === 31`)
	see("with many channels")
	stop()
	p.until("the page knows", `!document.querySelector("#away").hidden`)
	see("without a node")
	nodes.start()
	p.connected()
	p.do(`document.querySelector("#tab-timeline").click()`)
	p.shows("#timeline", "lost")
	see("the timeline of a connection that was lost, and is back")
	p.do(`document.querySelector("#disconnect").click()`)
	p.until("it is disconnected", `document.body.dataset.state === "closed"`)
	see("disconnected")
}

// see applies a look to the page.
func (p *page) see(l look) {
	p.t.Helper()
	screen := emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: 844, DeviceScaleFactor: 1, Mobile: l.width < 500}
	_, err := chromedp.Call(p.ctx, emulation.SetDeviceMetricsOverride, screen)
	if err == nil {
		scheme := emulation.MediaFeature{Name: "prefers-color-scheme", Value: l.scheme}
		still := emulation.MediaFeature{Name: "prefers-reduced-motion", Value: "reduce"}
		_, err = chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{&scheme, &still}})
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.do(`scrollTo(0, 0); await new Promise(requestAnimationFrame)`)
}
