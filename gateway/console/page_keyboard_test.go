package console_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Everything must be reachable with the keyboard.
func worksByKeyboardAlone(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	p := openPage(t, browser, nodes.url()).connected()
	p.tabTo("#channel")
	p.press("orders", kb.Enter)
	p.until("it is subscribed", `document.querySelector("#channels li")?.dataset.state === "on"`)
	p.tabTo("#publish .primary")
	p.press(kb.Enter)
	p.shows("#messages", "Hello, tide")

	p.tabTo("#tab-messages")
	p.press(kb.ArrowRight)
	p.until("the timeline shows", `!document.querySelector("#panel-timeline").hidden`)
	p.press(kb.ArrowLeft)
	p.tabTo("#messages-scroll")
	p.press(kb.ArrowUp, kb.Enter)
	p.until("the message is shown in full", `document.querySelector("#detail").open`)
	p.press(kb.Escape)
	p.until("it is closed", `!document.querySelector("#detail").open`)

	p.tabTo("#disconnect")
	p.press(kb.Enter)
	p.until("it is disconnected", `document.body.dataset.state === "closed"`)
	p.tabTo("#reconnect")
	p.press(kb.Enter)
	p.connected()

	p.tabTo(`nav a[href="#cluster"]`)
	p.press(kb.Enter)
	p.shows("#nodes", "you are here")
	p.tabTo("#cluster-channels a")
	p.do(`window.focused = document.activeElement; document.querySelector("#match-form").requestSubmit()`)
	nodes.publish("orders", `"order 2"`)
	p.until("the table is up to date", `document.querySelector("#cluster-channels tbody td:nth-child(4)").innerText === "2"`)
	p.until("the focus is where it was", `document.activeElement === focused`)
	p.tabTo("#user")
	p.press("alice", kb.Enter)
	p.shows("#view-cluster .wide", "No sessions")

	p.until("there are tools", `!document.querySelector("#tools-link").hidden`)
	p.tabTo("#tools-link")
	p.press(kb.Enter)
	p.tabTo("#token-form .primary")
	p.press(kb.Enter)
	p.until("there is a token", `!document.querySelector("#token-made").hidden`)
	p.tabTo("#token-connect")
	p.press(kb.Enter)
	p.shows("#fact-user", "alice")
}

// tabTo presses Tab until the matching element has the focus, around the page if necessary.
func (p *page) tabTo(selector string) {
	p.t.Helper()
	for range 150 {
		p.tab()
		if evaluate[bool](p, "document.activeElement.matches("+quote(selector)+")") {
			return
		}
	}
	p.t.Fatalf("Tab does not lead to %s", selector)
}

func (p *page) tab() {
	p.t.Helper()
	key := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeRawKeyDown, Key: "Tab", Code: "Tab", WindowsVirtualKeyCode: 9}
	if _, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, key); err != nil {
		p.t.Errorf("press Tab: %v", err)
	}
}

// Tab must reach every control, the focus must be visible, and every control must have a
// name for screen readers.
func everyControlIsInReach(t *testing.T, browser context.Context) {
	eachState(t, browser, func(p *page) []string {
		return slices.Concat(p.withoutName(), p.outOfPlace(), p.outOfReach())
	})
}

// withoutName returns the controls that have no name for a screen reader.
func (p *page) withoutName() (faults []string) {
	p.t.Helper()
	tree, err := chromedp.Call(p.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		p.t.Fatal(err)
	}
	controls := 0
	for _, node := range tree.Nodes {
		if node.Ignored || node.Role == nil || !isControl[string(node.Role.Value)] {
			continue
		}
		controls++
		if node.Name == nil || string(node.Name.Value) == `""` {
			faults = append(faults, "a "+string(node.Role.Value)+" has no name")
		}
	}
	if controls == 0 {
		p.t.Fatal("the accessibility tree has no controls")
	}
	return faults
}

// isControl contains the roles that need a name, as JSON strings.
var isControl = map[string]bool{
	`"button"`: true, `"link"`: true, `"textbox"`: true, `"searchbox"`: true, `"combobox"`: true, `"radio"`: true, `"checkbox"`: true,
	`"tab"`: true, `"tabpanel"`: true, `"DisclosureTriangle"`: true, `"dialog"`: true, `"log"`: true, `"region"`: true, `"navigation"`: true, `"image"`: true,
}

// outOfPlace returns faults of the layout: a page wider than the screen, a list narrower
// than its lines, and a button to the end of a list that is at its end.
func (p *page) outOfPlace() []string {
	p.t.Helper()
	return evaluate[[]string](p, `[...document.querySelectorAll("html, main, .channels, .members, .feed, .scroll")]
		.filter((e) => e.checkVisibility())
		.flatMap((e) => [
			e.scrollWidth > e.clientWidth + 1 ? "something is wider than it: " + e.outerHTML.slice(0, 120) : "",
			e.id === "messages-scroll" && !document.querySelector("#latest").hidden && e.scrollHeight - e.scrollTop - e.clientHeight < 24 ? "it is at its end, and offers a way there" : "",
		]).filter(Boolean)`)
}

// outOfReach presses Tab around the page and returns the controls that it does not reach.
func (p *page) outOfReach() []string {
	p.t.Helper()
	p.do(watchFocus)
	var presses sync.WaitGroup
	for range evaluate[int](p, `wanted.length`) {
		presses.Go(p.tab) // their order does not matter
	}
	presses.Wait()
	var faults []string
	for range 50 { // the page may take the focus back to where it was, which is one press less
		faults = []string{"Tab does not come around"}
		if evaluate[bool](p, `stops.length > 1 && stops.indexOf(stops[0], 1) > 0`) {
			faults = evaluate[[]string](p, `faultsOfStops()`)
		}
		if len(faults) == 0 {
			break
		}
		p.tab()
	}
	return faults
}

// Arrow keys move between the lines of a list, between tabs and between choices. An element
// outside the visible area is scrolled into view.
const watchFocus = `
	const scope = document.querySelector("dialog[open]") ?? document;
	const all = [...scope.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")];
	window.wanted = all.filter((e) => e.checkVisibility() && !e.disabled && !e.matches(".line, [role=tab][aria-selected=false], [type=radio]:not(:checked)"));
	const faults = [];
	const name = (e) => e.outerHTML.slice(0, 120);
	window.stops = [];
	window.watching?.abort();
	window.watching = new AbortController();
	addEventListener("focusin", ({ target }) => {
		stops.push(target);
		const shown = target.type === "radio" ? target.nextElementSibling : target;
		if (getComputedStyle(shown).outlineStyle === "none") faults.push("the focus cannot be seen: " + name(target));
		const { left, right, top, bottom } = shown.getBoundingClientRect();
		const points = [0.1, 0.5, 0.9].flatMap((x) => [0.1, 0.5, 0.9].map((y) => document.elementFromPoint(left + x * (right - left), top + y * (bottom - top))));
		if (!points.some((e) => e && (shown.contains(e) || e.contains(shown)))) faults.push("something hides it: " + name(target));
	}, { signal: watching.signal });
	window.faultsOfStops = () => [...new Set([...faults, ...wanted.filter((e) => e.isConnected && !stops.includes(e)).map((e) => "Tab does not lead to " + name(e))])];
	document.activeElement.blur()`

// A screen reader must announce events, but not what changes all the time.
func announcesWhatHappensAlone(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	p := openPage(t, browser, nodes.url())
	p.do(`window.said = [];
		new MutationObserver((changes) => {
			for (const { target } of changes) said.push((target.closest ? target : target.parentElement)?.closest("[role=status], [aria-live=polite]")?.innerText ?? "");
		}).observe(document.body, { subtree: true, childList: true, characterData: true })`)
	hears := func(text string) {
		t.Helper()
		p.until("it is said: "+text, `said.some((one) => one.includes(`+quote(text)+`))`)
	}
	p.subscribe("orders")
	hears("orders: subscribed")
	p.do(`const f = document.querySelector("#channel"); f.value = "@bob"; f.form.requestSubmit()`)
	hears("@bob: unauthenticated")
	p.until("everybody sees it", `document.querySelector("#subscribe-note").matches(".problem:not(.hidden)") && document.querySelector("#channels").innerText.includes("@bob")`)
	p.do(`[...document.querySelectorAll(".leave")].at(-1).click()`)
	hears("@bob: unsubscribed")
	p.until("the focus is not lost", `document.activeElement.id === "channel"`)
	p.publish("orders", `"order 1"`)
	hears("Confirmed")

	p.do(`said.length = 0; location.hash = "#examples/echo"`)
	p.shows("#example", "median")
	p.do(`location.hash = "#examples/clock"`)
	for tick := range 3 {
		p.until("it listens", `document.querySelector(".clock")`)
		nodes.publish("clock", fmt.Sprintf(`{"time": "2026-11-28T09:30:0%dZ"}`, tick))
	}
	p.shows("#example", "the same for everyone")
	if got := evaluate[[]string](p, `said.filter((one) => /Tick|median|\d ms/.test(one))`); len(got) > 0 {
		t.Errorf("it is said all the time: %q", got)
	}
	p.do(`location.hash = "#console"; document.querySelector("#disconnect").click()`)
	hears("Disconnected")
}
