package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tidegate/broker/brokertest"
	"tidegate/gateway/rules"
)

func quote(text string) string {
	quoted, _ := json.Marshal(text)
	return string(quoted)
}

// TestPage tests the page in a real browser, which all subtests share.
func TestPage(t *testing.T) {
	browser := startBrowser(t)
	for name, test := range map[string]func(*testing.T, context.Context){
		"TwoTabsChatInRoomsOfTheirOwn":             twoTabsChatInRoomsOfTheirOwn,
		"ShowsWhatAMessageSaysAsText":              showsWhatAMessageSaysAsText,
		"ResumesWithNothingLostWhenTheNodeWasAway": resumesWithNothingLostWhenTheNodeWasAway,
		"ConnectsAgainWhereItLeftOff":              connectsAgainWhereItLeftOff,
		"LeavesWhileTheBrowserKeepsIt":             leavesWhileTheBrowserKeepsIt,
		"PublishesOnceWhenTheNodeIsAway":           publishesOnceWhenTheNodeIsAway,
		"FallsBackWhereWebSocketIsRefused":         fallsBack,
		"KeepsToItsBoundWithThousandsOfMessages":   keepsToItsBoundWithThousandsOfMessages,
		"FiltersPausesAndClears":                   filtersPausesAndClears,
		"TabsShareOneConnection":                   tabsShareOneConnection,
		"BeginsWithTheHistory":                     beginsWithTheHistory,
		"OpensAMessageByKeyboard":                  opensAMessageByKeyboard,
		"TellsWhatBecameOfTheConnection":           tellsWhatBecameOfTheConnection,
		"ShowsFramesWithoutTokens":                 showsFramesWithoutTokens,
		"ShowsTheClusterAndSendsAUserAway":         showsTheClusterAndSendsAUserAway,
		"KeepsItsStateInTheAddress":                keepsItsStateInTheAddress,
		"SpellsOutWhatCannotBeSeen":                spellsOutWhatCannotBeSeen,
		"HasPublishInReachOnAPhone":                hasPublishInReachOnAPhone,
		"WorksByKeyboardAlone":                     worksByKeyboardAlone,
		"EveryControlIsInReach":                    everyControlIsInReach,
		"RunsTheExamplesOfTheGuides":               runsTheExamplesOfTheGuides,
		"AnnouncesWhatHappensAlone":                announcesWhatHappensAlone,
		"MakesTokensAndTriesRules":                 makesTokensAndTriesRules,
		"SaysWhereThereAreNoTools":                 saysWhereThereAreNoTools,
		"SaysWhyAnExampleIsRefused":                saysWhyAnExampleIsRefused,
		"WorksBelowAnyPath":                        worksBelowAnyPath,
		"TakesNoNameForPartOfItself":               takesNoNameForPartOfItself,
	} {
		t.Run(name, func(t *testing.T) { test(t, browser) })
	}
}

func twoTabsChatInRoomsOfTheirOwn(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	ada := openPage(t, browser, nodes.url()+"/#examples/chat").connected()
	bob := openPage(t, browser, nodes.url()+"/#examples/chat").connected()
	say := func(p *page, words string) {
		p.do(`const f = document.querySelector(".say input"); f.value = ` + quote(words) + `; f.form.requestSubmit()`)
	}

	say(ada, "hello from the lobby")
	bob.shows(".talk", "hello from the lobby")
	say(bob, "and hello back")
	ada.shows(".talk", "and hello back")

	bob.do(`[...document.querySelectorAll(".rooms button")].find((b) => b.innerText === "kitchen").click()`)
	bob.until("the kitchen is empty", `document.querySelector(".room .empty").hidden === false`)
	say(bob, "only in the kitchen")
	bob.shows(".talk", "only in the kitchen")
	say(ada, "last in the lobby")
	ada.shows(".talk", "last in the lobby")
	if said := ada.text(".talk"); strings.Contains(said, "kitchen") {
		t.Errorf("the lobby heard the kitchen: %q", said)
	}
	if said := bob.text(".talk"); strings.Contains(said, "lobby") {
		t.Errorf("the kitchen heard the lobby: %q", said)
	}

	bob.do(`[...document.querySelectorAll(".rooms button")].find((b) => b.innerText === "lobby").click()`)
	bob.shows(".talk", "last in the lobby") // from the history: he was away
}

func showsWhatAMessageSaysAsText(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	p := openPage(t, browser, nodes.url()).connected()
	evil := `<img src=x onerror="window.harmed = true"><script>window.harmed = true</script>`
	p.subscribe("chat:lobby")
	p.publish("chat:lobby", `{"text": `+quote(evil)+`}`)
	p.shows("#messages", "<img src=x onerror")
	p.do(`location.hash = "#examples/chat"`)
	p.shows(".talk", "<img src=x onerror")
	p.until("nothing was parsed as HTML", `!window.harmed && !document.querySelector("main img, main script")`)
}

// watchOrders starts a node, and opens a page that shows order 1. stop stops the node.
func watchOrders(t *testing.T, browser context.Context) (nodes *cluster, stop func(), p *page) {
	nodes = newCluster(t)
	stop = nodes.start()
	p = openPage(t, browser, nodes.url()).connected()
	p.subscribe("orders")
	nodes.publish("orders", `"order 1"`)
	p.shows("#messages", "order 1")
	return nodes, stop, p
}

func resumesWithNothingLostWhenTheNodeWasAway(t *testing.T, browser context.Context) {
	nodes, stop, p := watchOrders(t, browser)

	stop()
	p.until("the page knows", `document.querySelector(".pulse").dataset.state !== "connected"`)
	for i := 2; i <= 30; i++ {
		nodes.publish("orders", fmt.Sprintf(`"order %d"`, i))
	}
	nodes.start()
	p.connected()
	nodes.publish("orders", `"order 31"`)
	p.shows("#messages", "order 31")
	p.wantOrders(31)
	p.until("a reconnect is counted, and no gap", `document.querySelector("#fact-reconnects").innerText === "1" && document.querySelector("#fact-gaps").innerText === "0"`)
}

// Messages from before are not shown again, whichever button connects.
func connectsAgainWhereItLeftOff(t *testing.T, browser context.Context) {
	nodes, _, p := watchOrders(t, browser)
	p.do(`document.querySelector("#disconnect").click()`)
	p.until("it is disconnected", `document.body.dataset.state === "closed"`)
	nodes.publish("orders", `"order 2"`)
	p.do(`document.querySelector("#reconnect").click()`)
	p.connected()
	nodes.publish("orders", `"order 3"`)
	p.shows("#messages", "order 3")
	p.wantOrders(3)
	p.do(`document.querySelector("#token").value = "user ada"; document.querySelector("#connect").requestSubmit()`)
	p.shows("#fact-user", "ada")
	nodes.publish("orders", `"order 4"`)
	p.shows("#messages", "order 4")
	p.wantOrders(4)
	p.until("what was recovered is counted, and there is no gap", `document.querySelector("#fact-recovered").innerText === "1" && document.querySelector("#fact-gaps").innerText === "0"`)
}

// A browser keeps a page for a while in case the user goes back to it, and Chromium keeps its
// WebSocket, too.
func leavesWhileTheBrowserKeepsIt(t *testing.T, browser context.Context) {
	nodes, _, p := watchOrders(t, browser)
	p.do("window.isKept = true")

	if _, err := chromedp.Run(p.ctx, chromedp.Navigate(nodes.url()+"/application")); err != nil {
		t.Fatal(err)
	}
	p.until("the page has left its channel", `!(await (await fetch("/api/channels")).text()).includes("orders")`)
	nodes.publish("orders", `"order 2"`)
	if _, err := chromedp.Run(p.ctx, chromedp.NavigateBack()); err != nil {
		t.Fatal(err)
	}
	p.shows("#messages", "order 2")
	p.wantOrders(2)
	p.until("it is the page that was kept, and it has resumed", `window.isKept && document.querySelector("#fact-reconnects").innerText === "1"`)
}

// wantOrders checks that "order 1" to "order n" were received once each and in order.
func (p *page) wantOrders(n int) {
	p.t.Helper()
	var want []string
	for i := 1; i <= n; i++ {
		want = append(want, fmt.Sprintf(`"order %d"`, i))
	}
	got := strings.Split(p.text("#messages"), "\n")
	got = keep(got, func(line string) bool { return strings.HasPrefix(line, `"order`) })
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		p.t.Errorf("the page shows %q", got)
	}
}

func keep(lines []string, wanted func(string) bool) (kept []string) {
	for _, line := range lines {
		if wanted(line) {
			kept = append(kept, line)
		}
	}
	return kept
}

func publishesOnceWhenTheNodeIsAway(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	stop := nodes.start()
	p := openPage(t, browser, nodes.url()).connected()
	p.subscribe("orders")
	stop()
	p.until("the page knows", `document.querySelector(".pulse").dataset.state !== "connected"`)
	p.do(`document.querySelector("#publish-channel").value = "orders";
		document.querySelector("#payload").value = '"order 1"';
		document.querySelector("#publish").requestSubmit()`)
	nodes.start()
	p.until("the publish is confirmed", `document.querySelector("#publish-note").textContent.startsWith("Confirmed")`)
	p.shows("#messages", "order 1")
	p.wantOrders(1)
}

func fallsBack(t *testing.T, browser context.Context) {
	for _, test := range []struct {
		transport string
		noEvents  bool
	}{{"Server-Sent Events", false}, {"Long-poll", true}} {
		t.Run(test.transport, func(t *testing.T) {
			nodes := newCluster(t)
			nodes.noWebSocket.Store(true)
			nodes.noEvents.Store(test.noEvents)
			nodes.start()
			p := openPage(t, browser, nodes.url()).connected()
			p.subscribe("orders")
			p.subscribe("chat:lobby")
			p.shows("#fact-transport", test.transport)
			p.do(`document.querySelector(".channel[aria-pressed=true]").click()`)

			nodes.publish("orders", `"order 1"`)
			p.publish("orders", `"order 2"`)
			p.publish("chat:lobby", `{"text": "by POST"}`)
			nodes.publish("orders", `"order 3"`)
			p.shows("#messages", "order 3")
			p.shows("#messages", "by POST")
			p.wantOrders(3)

			if test.noEvents {
				return // returning to WebSocket works the same way
			}
			nodes.noWebSocket.Store(false)
			p.shows("#fact-transport", "WebSocket")
			nodes.publish("orders", `"order 4"`)
			p.shows("#messages", "order 4")
			p.wantOrders(4)
		})
	}
}

func keepsToItsBoundWithThousandsOfMessages(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	p := openPage(t, browser, nodes.url()).connected()
	p.subscribe("busy")
	for i := range 3000 {
		nodes.publish("busy", fmt.Sprintf(`"message %d"`, i))
	}
	p.until("all have come", `document.querySelector("#channels .count").textContent === "3000"`) // reading innerText would force a layout
	p.shows("#messages", "message 2999")
	p.until("no more than 500 rows", `document.querySelectorAll("#messages li").length <= 500`)
	p.until("the end is in view", `(({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight < 24)(document.querySelector("#messages-scroll"))`)
}

func filtersPausesAndClears(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	p := openPage(t, browser, nodes.url()).connected()
	p.subscribe("orders")
	p.publish("orders", `"apples"`)
	p.publish("orders", `"pears"`)
	p.shows("#messages", "pears")

	p.do(`const f = document.querySelector("#filter"); f.value = "APPL"; f.dispatchEvent(new Event("input"))`)
	p.until("only apples are left", `document.querySelectorAll("#messages li").length === 1 && document.querySelector("#messages").innerText.includes("apples")`)
	p.do(`const f = document.querySelector("#filter"); f.value = "cherries"; f.dispatchEvent(new Event("input"))`)
	p.shows("#messages-empty", "No message matches the filter.")
	p.do(`const f = document.querySelector("#filter"); f.value = ""; f.dispatchEvent(new Event("input"))`)
	p.shows("#messages", "pears")

	p.do(`document.querySelector("#pause").click()`)
	p.publish("orders", `"plums"`)
	p.shows("#pause", "Resume (1)")
	p.do(`document.querySelector("#pause").click()`)
	p.shows("#messages", "plums")

	p.do(`document.querySelector("#clear").click()`)
	p.until("the list is empty and says what to do", `document.querySelectorAll("#messages li").length === 0 && !document.querySelector("#messages-empty").hidden`)
}

// Where the rules refuse an example, its page keeps saying so.
func saysWhyAnExampleIsRefused(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.rules = rules.List{{Match: "echo:*", Subscribe: rules.Anyone}}
	nodes.start()
	p := openPage(t, browser, nodes.url()).connected()
	p.do(`const later = setTimeout, never = clearTimeout;
		window.help = () => {};
		window.setTimeout = (act, ms) => ms === 3500 ? (help = act, -1) : later(act, ms);
		window.clearTimeout = (timer) => timer === -1 ? (help = () => {}) : never(timer);
		location.hash = "#examples/clock"`)
	p.shows("#example", "may not subscribe")
	p.do(`help()`)
	p.shows("#example", "may not subscribe")
	p.do(`location.hash = "#examples/echo"`)
	p.shows("#example", "may not publish")
	p.do(`location.hash = "#console"`)
	p.do(`const f = document.querySelector("#channel"); f.value = "orders"; f.form.requestSubmit()`)
	p.shows("#subscribe-note", "orders: unauthenticated")
	p.shows("#subscribe-note", "Enter a token in the console, under Connection.")
}

func worksBelowAnyPath(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.prefix = "/live/tide"
	nodes.start()
	p := openPage(t, browser, nodes.url()+"/").connected()
	p.subscribe("chat:lobby")
	p.publish("chat:lobby", `"below a path"`)
	p.shows("#messages", "below a path")
	p.until("the page is styled", `getComputedStyle(document.querySelector(".bar")).display === "flex"`)
	p.do(`location.hash = "#examples/echo"`)
	p.shows(".code", nodes.url()+"/tidegate.js")
}

// Names in the address that are also properties of every object, such as constructor, are
// treated as ordinary names.
func takesNoNameForPartOfItself(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	for _, name := range []string{"__proto__", "constructor", "toString", "nothing"} {
		p := openPage(t, browser, nodes.url()+"/#examples/"+name).connected()
		p.shows("#example h2", "Chat")
		p.do(`location.hash = "#` + name + `"`)
		p.subscribe(name)
		p.publish(name, `"to a name"`)
		p.shows("#messages", "to a name")
	}
}

// The guides' examples for a page of the gateway's origin must run unchanged in such a page.
func runsTheExamplesOfTheGuides(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	for path, hears := range map[string]string{"../../README.md": `{"text":"hi from a browser"}`, "../concepts.md": `7`} {
		guide, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, example, found := strings.Cut(string(guide), "```js\n")
		example, _, ended := strings.Cut(example, "```\n")
		if !found || !ended {
			t.Fatalf("%s has no example", path)
		}
		example = regexp.MustCompile(`import (\{.*?\}) from (".*?");`).ReplaceAllString(example, "const $1 = await import($2);")
		p := openPage(t, browser, nodes.url()+"/application")
		p.do(`window.said = []; window.apply = (data) => said.push(JSON.stringify(data)); window.reload = () => said.push("reload");
			console.log = apply;` + example + `; window.tide = tide`)
		p.until(path+"'s page is connected", `tide.status.state === "connected"`)
		p.do(`await tide.publish("orders", 7)`)
		p.until(path+"'s example has heard", `said.includes(`+quote(hears)+`)`)
	}
}

func tabsShareOneConnection(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.start()
	open := func() *page {
		p := openPage(t, browser, nodes.url()+"/application")
		p.do(`const { shareTidegate } = await import("/tidegate-shared.js");
			window.heard = [];
			window.tide = shareTidegate("/", { name: "ada", token: () => "" });
			window.room = tide.subscribe("chat:lobby", ({ data }) => heard.push(data), { recent: 5 })`)
		p.until("it is connected", `tide.status.state === "connected"`)
		return p
	}
	nodes.publish("chat:lobby", `"before"`)
	one, two := open(), open()
	if a, b := evaluate[string](one, "tide.status.session"), evaluate[string](two, "tide.status.session"); a != b || a == "" {
		t.Errorf("the tabs are sessions %q and %q", a, b)
	}
	one.do(`await tide.publish("chat:lobby", "from one")`)
	for _, p := range []*page{one, two} {
		p.until("each tab has heard all", `JSON.stringify(heard) === '["before","from one"]'`)
	}
	refused := evaluate[string](two, `tide.publish("no spaces", 1).then(() => "", (error) => error.constructor.name + " " + error.code)`)
	if refused != "TidegateError bad_request" {
		t.Errorf("a bad publish fails with %q", refused)
	}

	one.do(`setTimeout(() => location.replace("/healthz"))`)
	one.until("the first tab has left", `location.pathname === "/healthz"`)
	two.do(`await tide.publish("chat:lobby", "to two")`)
	two.until("the other goes on", `heard.at(-1) === "to two"`)
	two.do(`tide.close()`)
	three := openPage(t, browser, nodes.url()+"/application")
	brokertest.Eventually(t, "the connection ended with the last tab", func() bool {
		return evaluate[float64](three, `fetch("/api/nodes").then((answer) => answer.json()).then(({ nodes }) => nodes[0].sessions)`) == 0
	})
}
