package console_test

import (
	"testing"

	"tidegate/gateway/websocket"
)

// A real browser negotiates compression, and sends and receives compressed messages.
func TestBrowser_MessagesAreCompressed(t *testing.T) {
	browser := startBrowser(t)
	c := newCluster(t)
	c.deflate = websocket.NewDeflate(1)
	c.start()
	p := openPage(t, browser, c.url())
	got := evaluate[string](p, `(async () => {
		const ws = new WebSocket(location.origin.replace("http", "ws") + "/ws");
		const heard = (type) => new Promise((found, failed) => {
			ws.addEventListener("message", (e) => { const m = JSON.parse(e.data); if (m.type === type) found(m) });
			ws.addEventListener("close", (e) => failed(new Error("closed with " + e.code + " " + e.reason)));
		});
		await heard("welcome");
		ws.send(JSON.stringify({ type: "subscribe", id: 1, channel: "chat:lobby" }));
		await heard("subscribed");
		for (const length of [1, 10, 1000, 60000]) {
			const text = Array.from({ length }, (_, i) => String.fromCharCode(97 + i * i % 26)).join("");
			const message = heard("message");
			ws.send(JSON.stringify({ type: "publish", channel: "chat:lobby", text }));
			if ((await message).text !== text) return "a text of " + length + " came back different";
		}
		return ws.extensions;
	})()`)
	if want := "permessage-deflate; server_no_context_takeover; client_no_context_takeover"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
