package console_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func beginsWithTheHistory(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	for i := 1; i <= 3; i++ {
		nodes.publish("orders", fmt.Sprintf(`"order %d"`, i))
	}
	p := openPage(t, browser, nodes.url()).connected()
	p.subscribe("orders")
	nodes.publish("orders", `"order 4"`)
	p.shows("#messages", "order 4")
	p.wantOrders(4)
	p.until("the past looks past, and what is live does not",
		`document.querySelectorAll("#messages .past").length === 3 && !document.querySelector("#messages li:last-child").matches(".past")`)
}

func opensAMessageByKeyboard(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	p := openPage(t, browser, nodes.url()).connected()
	p.subscribe("orders")
	nodes.publish("orders", `{"order":1}`)
	nodes.publish("orders", `{"order":2}`)
	p.shows("#messages", `"order":2`)

	p.do(`document.querySelector("#messages-scroll").focus()`)
	p.press(kb.ArrowUp, kb.ArrowUp, kb.Enter)
	p.until("the message is shown in full", `document.querySelector("#detail").open`)
	p.shows("#detail .body", "{\n  \"order\": 1\n}")
	p.shows("#detail .facts", "Cursor")
	p.press(kb.Escape)
	p.until("the focus is back in the list", `!document.querySelector("#detail").open && document.activeElement.matches("#messages .line")`)

	p.press(kb.Enter)
	p.do(`document.querySelector("#detail .primary").click()`)
	p.until("it can be changed and published", `document.activeElement.id === "payload" && document.querySelector("#payload").value === '{"order":1}'`)
	p.do(`document.querySelector("#publish").requestSubmit()`)
	p.until("it is there again", `document.querySelectorAll("#messages .message").length === 3`)
}

func tellsWhatBecameOfTheConnection(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	stop := nodes.start()
	p := openPage(t, browser, nodes.url()+"/#console?view=timeline").connected()
	p.subscribe("orders")
	nodes.publish("orders", `"order 1"`)
	p.until("it has the message", `document.querySelector("#channels .count").innerText === "1"`)
	stop()
	p.until("the page looks disconnected", `!document.querySelector("#away").hidden && document.title.startsWith("Reconnecting")`)
	p.shows("#timeline", "Connection lost")
	p.shows("#timeline", "2 attempts")
	p.until("attempts that fail are one line", `document.querySelector("#timeline").innerText.split("No connection").length === 2`)
	for i := 2; i <= 13; i++ {
		nodes.publish("orders", fmt.Sprintf(`"order %d"`, i))
	}
	nodes.start()
	p.connected()
	p.shows("#timeline", "1 channel: 12 recovered, 0 lost")
	p.shows("#timeline", "Reconnected to another node")
	p.until("it looks connected again", `document.querySelector("#away").hidden && document.title === "Tidegate"`)
}

func showsFramesWithoutTokens(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	p := openPage(t, browser, nodes.url()+"/#console?view=frames").connected()
	p.subscribe("orders")
	p.shows("#frames", `{"type":"subscribe","channel":"orders"`)
	p.shows("#frames", `{"type":"subscribed"`)
	p.do(`document.querySelector("#token").value = "a-secret"; document.querySelector("#connect").requestSubmit()`)
	p.shows("#frames", `"type":"auth"`)
	p.until("the token is nowhere", `!document.body.innerText.includes("a-secret") && !location.href.includes("a-secret")`)
}

func showsTheClusterAndSendsAUserAway(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	p := openPage(t, browser, nodes.url()).connected()
	p.subscribe("orders")
	p.do(`location.hash = "#cluster?match=ord*"`)
	p.shows("#nodes", "you are here")
	p.shows("#cluster-channels", "orders")
	nodes.publish("orders", `"order 1"`)
	p.until("the message is counted, and then the rate is nought", `[...document.querySelector("#cluster-channels tbody tr").cells].map((cell) => cell.innerText).join(" ") === "orders 1 0 1 0/s"`)
	p.do(`document.querySelector("#match").value = "chat:*"; document.querySelector("#match-form").requestSubmit()`)
	p.until("the pattern counts", `document.querySelector("#cluster-channels").hidden && location.hash === "#cluster?match=chat:*"`)
	p.do(`document.querySelector("#key").value = "a-secret"; document.querySelector("#key-form").requestSubmit()`)
	p.until("a wrong key is refused, and what is known looks old", `document.querySelector("#cluster-note").innerText && document.querySelector("#view-cluster").matches(".stale")`)
	p.until("the key is kept in memory only", `!location.href.includes("a-secret") && localStorage.length === 0 && !JSON.stringify(sessionStorage).includes("a-secret")`)

	p.do(`document.querySelector("#key").value = ""; document.querySelector("#key-form").requestSubmit()`)
	p.until("without it all is well", `!document.querySelector("#view-cluster").matches(".stale")`)
	alice := openPage(t, browser, nodes.url()).connected()
	alice.do(`document.querySelector("#token").value = "user alice"; document.querySelector("#connect").requestSubmit()`)
	alice.shows("#fact-user", "alice")
	alice.subscribe("orders")
	p.do(`window.confirm = () => true; document.querySelector("#user").value = "alice"; document.querySelector("#user-form").requestSubmit()`)
	p.shows("#user-sessions", "orders")
	p.do(`document.querySelector("#send-away").click()`)
	p.shows("#sessions-note", "Disconnected: 1")
	p.shows("#view-cluster .wide", "No sessions")
	alice.until("alice's page is sent away, and looks it", `document.body.dataset.state === "closed" && document.title.startsWith("Disconnected")`)
}

func keepsItsStateInTheAddress(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	nodes.publish("orders", `"apples"`)
	nodes.publish("orders", `"pears"`)
	p := openPage(t, browser, nodes.url()).connected()
	p.subscribe("chat:lobby")
	p.subscribe("orders")
	p.do(`const f = document.querySelector("#filter"); f.value = "appl"; f.dispatchEvent(new Event("input"))`)
	const want = "#console?channel=chat:lobby&channel=orders&show=orders&filter=appl"
	p.until("the address says what shows", `location.hash === `+quote(want))

	again := openPage(t, browser, nodes.url()+"/"+want).connected()
	again.shows("#messages", "apples")
	again.until("it is all as it was", `document.querySelectorAll("#channels li").length === 2 && document.querySelectorAll("#messages li").length === 1 && document.querySelector("#messages-title").innerText === "orders"`)
}

// Names come from other users, so invisible characters in them must be spelled out.
func spellsOutWhatCannotBeSeen(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	p := openPage(t, browser, nodes.url()+"/#examples/chat").connected()
	p.do(`const name = document.querySelector("#chat-name"); name.value = "ada\u202e\u200bnimda"; name.dispatchEvent(new Event("change"));
		const f = document.querySelector(".say input"); f.value = "hello"; f.form.requestSubmit()`)
	p.shows(".talk", "ada⟨U+202E⟩⟨U+200B⟩nimda")
	p.shows(".people", "ada⟨U+202E⟩⟨U+200B⟩nimda")

	refused := openPage(t, browser, nodes.url()).connected()
	refused.do(`const f = document.querySelector("#channel"); f.value = "ne\u200bws"; f.form.requestSubmit()`)
	refused.shows("#channels", "ne⟨U+200B⟩ws")
	refused.shows("#messages", "U+200B")
	refused.until("it is refused", `document.querySelector("#channels li").dataset.state === "refused"`)
}

func hasPublishInReachOnAPhone(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	p := openPage(t, browser, nodes.url())
	phone := emulation.SetDeviceMetricsOverrideParams{Width: 390, Height: 844, DeviceScaleFactor: 1, Mobile: true}
	if _, err := chromedp.Call(p.ctx, emulation.SetDeviceMetricsOverride, phone); err != nil {
		t.Fatal(err)
	}
	p.connected()
	p.subscribe("orders")
	p.subscribe("a:name:that's:longer:than:any:line:of:a:phone")
	p.shows("#messages-empty", `/api/channels/a:name:that'\''s:longer:`)
	p.until("nothing is wider than the screen", `document.documentElement.scrollWidth <= 390`)
	p.until("publish is in view", `(({ top, bottom }) => top >= 0 && bottom <= innerHeight)(document.querySelector("#publish .primary").getBoundingClientRect())`)
	const small = `[...document.querySelectorAll("button, input, select, textarea, nav a, summary")]
		.filter((e) => e.offsetParent && e.type !== "radio" && e.type !== "checkbox")
		.filter((e) => Math.min(e.getBoundingClientRect().width, e.getBoundingClientRect().height) < 44)
		.map((e) => e.outerHTML).join("\n")`
	for _, section := range []string{"#console", "#cluster", "#examples/chat", "#examples/log", "#tools"} {
		p.do(`location.hash = ` + quote(section) + `; await new Promise(requestAnimationFrame)`)
		if got := evaluate[string](p, small); got != "" {
			t.Errorf("%s: too small for a finger:\n%s", section, got)
		}
	}
}

// press sends key presses to the page.
func (p *page) press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		if _, err := chromedp.Run(p.ctx, chromedp.KeyEvent(key)); err != nil {
			p.t.Fatalf("press %q: %v", key, err)
		}
	}
}
