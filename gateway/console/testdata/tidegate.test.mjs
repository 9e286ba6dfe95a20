// Run by go test, or by hand: node --test gateway/console/testdata/

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Tidegate, TidegateError } from "../tidegate/tidegate.js";
import { shareTidegate } from "../tidegate/tidegate-shared.js";
import { EventParser } from "../tidegate/tidegate-http.js";

/** @type {FakeSocket[]} */
let sockets = [];
/** @type {Tidegate[]} */
let clients = [];

/** A WebSocket whose other end is the test. */
class FakeSocket {
  readyState = 0;
  said = [];
  constructor(url) {
    this.url = String(url);
    sockets.push(this);
  }
  send(text) { this.said.push(JSON.parse(text)); }
  close() { this.readyState = 3; }
  open(welcome = {}) {
    this.readyState = 1;
    this.onopen?.();
    this.tell({ type: "welcome", session: "s" + sockets.length, node: "n1", ping: 25, ...welcome });
  }
  tell(frame) { this.onmessage?.({ data: JSON.stringify(frame) }); }
  end(code, reason = "") { this.readyState = 3; this.onclose?.({ code, reason }); }
  heard(type, channel) { return this.said.filter((f) => f.type === type && (!channel || f.channel === channel)); }
  confirm(channel, more = {}) { this.tell({ type: "subscribed", id: this.heard("subscribe", channel).at(-1).id, channel, ...more }); }
  message(channel, data, cursor) { this.tell({ type: "message", channel, data, cursor }); }
}

function client(options = {}) {
  const made = new Tidegate("http://gateway.test/", { WebSocket: FakeSocket, minDelay: 1, maxDelay: 2, transports: ["websocket"], ...options });
  clients.push(made);
  return made;
}

afterEach(() => {
  for (const one of clients) one.close();
  sockets = [];
  clients = [];
});

/** Waits for a condition, and fails the test if it does not come. */
async function until(holds, what = String(holds)) {
  for (const end = Date.now() + 10_000; Date.now() < end; await new Promise((next) => setTimeout(next, 2))) {
    const value = holds();
    if (value) return value;
  }
  assert.fail(`waited in vain: ${what}`);
}

const socket = (n) => until(() => sockets[n - 1], `connection ${n}`);
const connected = async (n, welcome) => { const s = await socket(n); s.open(welcome); return s; };
const isJWT = (claims) => `x.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;

test("subscribes, delivers, publishes with a key, and takes bytes both ways", async () => {
  const tide = client();
  const got = [];
  tide.subscribe("chat", (message) => got.push(message));
  const s = await connected(1);
  assert.equal(s.url, "ws://gateway.test/ws");
  s.confirm("chat", { cursor: "e:1" });
  s.tell({ type: "message", channel: "chat", binary: "AP8=", user: "ada", event: "raw", tags: { color: "red" }, info: { name: "Ada" }, cursor: "e:2", time: 1000 });
  assert.deepEqual(got[0], { channel: "chat", data: new Uint8Array([0, 255]), kind: "binary", event: "raw", tags: { color: "red" }, user: "ada", info: { name: "Ada" }, cursor: "e:2", time: new Date(1000) });
  const published = tide.publish("chat", new Uint8Array([1, 2]), { traceparent: "00-1-2-01" });
  const [frame] = s.heard("publish");
  assert.deepEqual([frame.binary, frame.traceparent], ["AQI=", "00-1-2-01"]);
  assert.match(frame.key, /^(\d+-){3}\d+$/);
  s.tell({ type: "published", id: frame.id, cursor: "e:3" });
  assert.deepEqual(await published, { cursor: "e:3" });
});

test("tells who comes and goes, and that too many did", async () => {
  const tide = client();
  const told = [];
  const room = tide.subscribe("room");
  for (const event of ["join", "leave", "presence_changed"]) room.on(event, ({ user, session }) => told.push([event, user, session]));
  const s = await connected(1);
  s.confirm("room");
  s.tell({ type: "join", channel: "room", user: "ada", session: "s1" });
  s.tell({ type: "leave", channel: "room", user: "ada" });
  s.tell({ type: "presence_changed", channel: "room" });
  assert.deepEqual(told, [["join", "ada", "s1"], ["leave", "ada", undefined], ["presence_changed", undefined, undefined]]);
});

test("resumes each channel at the last message delivered, not at the channel's end", async () => {
  const tide = client();
  const got = [];
  tide.subscribe("a", ({ data }) => got.push(data));
  let s = await connected(1);
  s.confirm("a", { cursor: "e:10" });
  s.message("a", 11, "e:11");
  s.end(1006);
  s = await connected(2);
  assert.equal(s.heard("subscribe")[0].cursor, "e:11");
  s.confirm("a", { cursor: "e:14", recovered: true });
  s.message("a", 12, "e:12");
  s.end(1006); // before 13 and 14 have come
  s = await connected(3);
  assert.equal(s.heard("subscribe")[0].cursor, "e:12");
  s.confirm("a", { cursor: "e:14", recovered: true });
  s.message("a", 13, "e:13");
  s.message("a", 14, "e:14");
  s.message("a", 14, "e:14");
  assert.deepEqual(got, [11, 12, 13, 14]);
});

test("tells a gap where the history is lost, and where there was none", async () => {
  const tide = client();
  const gaps = [];
  for (const name of ["kept", "bare"]) tide.subscribe(name).on("gap", () => gaps.push(name));
  let s = await connected(1);
  s.confirm("kept", { cursor: "e:1" });
  s.confirm("bare");
  assert.deepEqual(gaps, []);
  s.end(1001);
  s = await connected(2);
  s.confirm("kept", { cursor: "f:1", recovered: false });
  s.confirm("bare");
  assert.deepEqual(gaps, ["kept", "bare"]);
});

test("delivers what a history that has gone back has now, and tells the gap", async () => {
  const tide = client();
  const got = [];
  const room = tide.subscribe("room", ({ data }) => got.push(data));
  room.on("gap", () => got.push("gap"));
  const first = await connected(1);
  first.confirm("room", { cursor: "e:10" });
  first.end(1006);
  const s = await connected(2);
  s.confirm("room", { cursor: "e:4", recovered: false });
  s.message("room", 4, "e:4");
  s.message("room", 5, "e:5");
  assert.deepEqual(got, ["gap", 4, 5]);
});

test("sends what was not confirmed again, with the same key, and in order", async () => {
  const tide = client();
  let s = await connected(1);
  const results = [tide.publish("a", 1), tide.publish("a", 2)];
  s.end(1006);
  s = await connected(2);
  const again = s.heard("publish");
  assert.deepEqual(again.map((f) => f.data), [1, 2]);
  assert.deepEqual(again.map((f) => f.key), sockets[0].heard("publish").map((f) => f.key));
  for (const { id } of again) s.tell({ type: "published", id });
  await Promise.all(results);
});

test("tries again what is unavailable, and says why the rest failed", async () => {
  const tide = client();
  const s = await connected(1);
  const passing = tide.publish("a", 1);
  s.tell({ type: "error", id: s.heard("publish")[0].id, code: "unavailable", message: "away" });
  const again = await until(() => s.heard("publish")[1]);
  s.tell({ type: "published", id: again.id, cursor: "e:1" });
  assert.equal((await passing).cursor, "e:1");
  const refused = tide.publish("b", 1);
  s.tell({ type: "error", id: s.heard("publish").at(-1).id, code: "forbidden", message: "no" });
  await assert.rejects(refused, (error) => error instanceof TidegateError && error.code === "forbidden" && error.message === "no");
});

test("lets no publish hang: time-out, too large, closed", async () => {
  const tide = client({ commandTimeout: 40 });
  await assert.rejects(tide.publish("a", 1), { code: "timeout" });
  const s = await connected(1);
  const small = tide.publish("a", 1);
  const large = tide.publish("a", "x".repeat(1000));
  s.end(1009);
  await assert.rejects(large, { code: "too_large" });
  tide.close();
  await assert.rejects(small, { code: "closed" });
  await assert.rejects(tide.publish("a", 1), { code: "closed" });
});

test("stops for good when it was sent away, and says so", async () => {
  for (const [code, name] of [[4001, "unauthenticated"], [4009, "disconnected"], [1008, "forbidden"]]) {
    const tide = client();
    const errors = [];
    tide.on("error", (error) => errors.push(error.code));
    const before = sockets.length;
    const s = await connected(before + 1);
    const pending = tide.publish("a", 1);
    s.end(code, "go");
    await assert.rejects(pending, { code: name });
    assert.deepEqual([errors, tide.status.state], [[name], "closed"]);
    await new Promise((later) => setTimeout(later, 20));
    assert.equal(sockets.length, before + 1);
    tide.connect();
    await connected(before + 2);
    assert.equal(tide.status.state, "connected");
  }
});

test("comes back after a drain, a slow spell, and a page that slept", async () => {
  const tide = client();
  for (const [n, [code, reason]] of [[1001, "drain"], [4008, "slow"], [1008, "no sign of life"], [1006, ""]].entries()) {
    (await connected(n + 1)).end(code, reason);
  }
  await connected(5);
  assert.deepEqual([tide.status.state, tide.status.reconnects], ["connected", 4]);
});

test("authenticates before all else, and renews before the token expires", async () => {
  let asked = 0;
  const tide = client({ token: async () => isJWT({ sub: "ada", n: ++asked, exp: Date.now() / 1000 + (asked === 1 ? 1.2 : 3600) }) });
  tide.subscribe("a");
  const s = await connected(1);
  assert.deepEqual(s.said.map((f) => f.type), ["auth"]);
  s.tell({ type: "welcome", id: s.said[0].id, session: "s1", user: "ada", node: "n1" });
  assert.equal(tide.status.user, "ada");
  assert.equal(s.heard("subscribe").length, 1);
  const renewal = await until(() => s.heard("auth")[1]);
  assert.notEqual(renewal.token, s.heard("auth")[0].token);
  s.end(4002); // it was too late: a function is asked again
  const next = await connected(2);
  await until(() => next.heard("auth").length === 1);
  assert.equal(asked, 3);
});

test("comes back over the same transport when the gateway has no room for a user's session, or an error of its own", async () => {
  const tide = client({ token: isJWT({ sub: "ada" }), transports: ["websocket", "sse"], fetch: () => assert.fail("no other transport is tried") });
  const authenticated = async (n, answer) => { const s = await connected(n); s.tell({ id: s.heard("auth")[0].id, ...answer }); };
  await authenticated(1, { type: "error", code: "limit_exceeded", message: "the user has 5 sessions here" });
  await authenticated(2, { type: "error", code: "internal", message: "internal error" });
  await authenticated(3, { type: "error", code: "unavailable", message: "the backend is away" });
  await authenticated(4, { type: "welcome", user: "ada" });
  assert.deepEqual([tide.status.state, tide.status.transport, tide.status.user], ["connected", "websocket", "ada"]);
});

test("a token that cannot be renewed ends with its expiry", async () => {
  const tide = client({ token: "t" });
  const s = await connected(1);
  s.tell({ type: "welcome", id: s.said[0].id, user: "ada" });
  s.end(4002, "the token has expired");
  assert.equal(tide.status.state, "closed");
});

test("makes before it breaks: nothing lost, nothing twice, on both kinds of channel", async () => {
  const tide = client();
  const got = [], gaps = [];
  for (const name of ["kept", "bare"]) tide.subscribe(name, ({ data }) => got.push(data)).on("gap", () => gaps.push(name));
  const old = await connected(1);
  old.confirm("kept", { cursor: "e:1" });
  old.confirm("bare");
  old.tell({ type: "reconnect", within: 0.001 });
  const next = await connected(2);
  old.message("kept", "k2", "e:2");
  next.confirm("kept", { cursor: "e:2", recovered: true });
  next.message("kept", "k2", "e:2");
  assert.equal(tide.status.session, "s1", "the new one is not yet on every channel");
  old.message("bare", "b1"); // only the old one has it
  next.confirm("bare");
  assert.equal(tide.status.session, "s2");
  old.message("bare", "b2");
  next.message("bare", "b2");
  next.message("bare", "b3");
  old.message("bare", "b3");
  next.message("bare", "b3"); // said twice indeed
  old.message("bare", "b3");
  next.message("kept", "k3", "e:3");
  old.message("kept", "k3", "e:3");
  assert.deepEqual(got, ["k2", "b1", "b2", "b3", "b3", "k3"]);
  await until(() => old.readyState === 3, "the old one is left");
  assert.deepEqual([gaps, tide.status.reconnects], [[], 1]);
});

test("takes the new connection when the old one ends meanwhile", async () => {
  const tide = client();
  tide.subscribe("a");
  const old = await connected(1);
  old.confirm("a", { cursor: "e:1" });
  old.tell({ type: "reconnect", within: 0.001 });
  const next = await connected(2);
  const published = tide.publish("a", 1);
  old.end(1001);
  const [frame] = await until(() => next.heard("publish").length === 1 && next.heard("publish"));
  next.tell({ type: "published", id: frame.id });
  await published;
  assert.equal(sockets.length, 2);
});

test("a link without a sign of life is dead", async () => {
  client();
  const s = await connected(1, { ping: 0.02 });
  await until(() => s.heard("ping").length > 0, "a ping");
  await socket(2);
});

test("two subscriptions share a channel until the last one leaves", async () => {
  const tide = client();
  const got = [];
  const one = tide.subscribe("a", () => got.push(1), { echo: false });
  const two = tide.subscribe("a", () => got.push(2));
  const s = await connected(1);
  s.confirm("a");
  assert.equal(s.heard("subscribe").length, 1);
  assert.equal(s.heard("subscribe")[0].echo, false);
  one.unsubscribe();
  one.unsubscribe();
  s.message("a", 1);
  assert.deepEqual(got, [2]);
  assert.equal(s.heard("unsubscribe").length, 0);
  two.unsubscribe();
  assert.equal(s.heard("unsubscribe").length, 1);
});

test("a refused subscription ends with its error, the client lives", async () => {
  const tide = client();
  const errors = [];
  tide.subscribe("secret").on("error", (error) => errors.push(error.code));
  let s = await connected(1);
  s.tell({ type: "error", id: s.heard("subscribe")[0].id, code: "forbidden", message: "no" });
  assert.deepEqual(errors, ["forbidden"]);
  s.end(1006);
  s = await connected(2);
  assert.equal(s.heard("subscribe").length, 0);
});

test("waits with full jitter, exponentially, up to the cap", async () => {
  const tide = client({ minDelay: 4, maxDelay: 16 });
  const delays = [];
  tide.on("state", ({ state, retryIn }) => state === "waiting" && delays.push(retryIn));
  for (let n = 1; n <= 8; n++) (await socket(n)).end(1006);
  delays.forEach((delay, n) => assert.ok(delay >= 0 && delay <= Math.min(16, 4 * 2 ** n), `delay ${n} is ${delay}`));
  assert.equal(delays.length, 8);
  assert.ok(new Set(delays).size > 4, "they differ");
});

test("what a handler throws does not stop the others, and surfaces", async (t) => {
  const tide = client();
  const s = await connected(1);
  const got = [], uncaught = [];
  t.mock.method(globalThis, "setTimeout", (action) => { try { action(); } catch (error) { uncaught.push(error.message); } });
  tide.subscribe("a", () => { throw new Error("mine"); });
  tide.subscribe("a", ({ data }) => got.push(data));
  s.confirm("a");
  s.message("a", 1);
  assert.deepEqual([got, uncaught], [[1], ["mine"]]);
});

test("reads an event stream cut anywhere", () => {
  const stream = ": hello\r\nretry: 5\r\n\r\nid: c:1\r\nevent: note\r\ndata: one\r\ndata:two\r\n\r\ndata: {\"a\":1}\nid: c:2\n\nevent: gap\n\n";
  for (let size = 1; size <= stream.length; size++) {
    const got = [];
    const parser = new EventParser((data) => got.push(data));
    for (let at = 0; at < stream.length; at += size) parser.feed(stream.slice(at, at + size));
    assert.deepEqual(got, ["one\ntwo", '{"a":1}'], `in parts of ${size}`);
  }
});

/** A gateway that answers by HTTP: what a path answers is the test's to say. */
class FakeHTTP {
  /** @type {URL[]} */
  asked = [];
  constructor(answers) { this.answers = answers; }
  fetch = async (url, options = {}) => {
    this.asked.push(url);
    const { signal } = options;
    const answer = this.answers[url.pathname]?.(url.searchParams, this.of(url.pathname).length, options) ?? {};
    if (!(answer instanceof Promise)) return answer instanceof Response ? answer : Response.json(answer);
    const aborted = new Promise((_, reject) => signal?.addEventListener("abort", () => reject(new Error("aborted"))));
    const got = await Promise.race([answer, aborted]);
    return got instanceof Response ? got : Response.json(got);
  };
  of(path) { return this.asked.filter((url) => url.pathname === path); }
}

const page = (cursor, more = {}) => ({ messages: [], gaps: [], cursor, ...more });
const never = () => new Promise(() => {});
/** The answer to a publish. */
const published = (cursor) => ({ results: [{ cursor }] });
/** The message of a request to publish. */
const publishOf = ({ body }) => { const [message, ...more] = JSON.parse(body); assert.deepEqual([message.channels.length, more], [1, []]); return message; };


/** An event stream that stays open. */
function stream(text) {
  const body = new ReadableStream({ start: (control) => control.enqueue(new TextEncoder().encode(text)) });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

/** An event of a stream with a native frame in it. */
const event = (frame, name = "") => `${name && `event: ${name}\n`}data: ${JSON.stringify(frame)}\n\n`;

test("Server-Sent Events: a single channel tells as much of its messages as a WebSocket does", async () => {
  const http = new FakeHTTP({
    "/poll": () => page("e:1"),
    "/events": () => stream(
      event({ type: "message", channel: "a", text: "42", user: "ada", event: "note", cursor: "e:2", time: 1000 }) +
      event({ type: "message", channel: "a", binary: "AP8=" }) +
      event({ type: "message", channel: "a", data: { type: "gap", channel: "a" }, event: "gap" }) +
      event({ type: "gap", channel: "a" }, "gap")),
  });
  const tide = client({ transports: ["sse"], fetch: http.fetch });
  const got = [];
  tide.subscribe("a", (message) => got.push(message)).on("gap", () => got.push("gap"));
  await until(() => got.length === 4);
  assert.equal(http.of("/events")[0].searchParams.get("envelope"), "true");
  assert.deepEqual(got[0], { channel: "a", data: "42", kind: "text", event: "note", tags: {}, user: "ada", info: undefined, cursor: "e:2", time: new Date(1000) });
  assert.deepEqual([got[1].kind, got[1].data], ["binary", new Uint8Array([0, 255])]);
  assert.deepEqual([got[2].event, got[2].data, got[3]], ["gap", { type: "gap", channel: "a" }, "gap"]);
});

test("over HTTP each of several channels goes on at its own cursor", async () => {
  for (const [transport, path] of [["sse", "/events"], ["longpoll", "/poll"]]) {
    const at = { a: "e:5", b: "f:7", bare: "-" };
    const http = new FakeHTTP({
      "/poll": (query) => query.getAll("channel").length > 1 ? never() : page(at[query.get("channel")]),
      "/events": () => stream(": hello\n\n"),
    });
    const tide = client({ transports: [transport], fetch: http.fetch });
    for (const name of Object.keys(at)) tide.subscribe(name);
    const url = await until(() => http.of(path).find(({ searchParams }) => searchParams.getAll("channel").length === 3));
    assert.deepEqual(url.searchParams.getAll("channel"), ["a", "b", "bare"]);
    assert.deepEqual(url.searchParams.getAll("cursor"), ["e:5", "f:7", "-"]);
    assert.ok(http.of("/poll").every(({ searchParams }) => searchParams.getAll("channel").length === 1 || searchParams.has("cursor")), "nothing is skipped up to now");
  }
});

test("long-poll: a history that is lost between two polls is told as a gap", async () => {
  const http = new FakeHTTP({
    "/poll": (query, times) => times === 1 ? page("e:1")
      : query.get("cursor") === "e:1" ? page("f:2", { recovered: false, messages: [{ channel: "a", data: "rest", cursor: "f:2" }] })
      : never(),
  });
  const tide = client({ transports: ["longpoll"], fetch: http.fetch });
  const got = [];
  tide.subscribe("a", ({ data }) => got.push(data)).on("gap", () => got.push("gap"));
  await until(() => got.length === 2);
  assert.deepEqual(got, ["gap", "rest"]);
});

test("takes a channel without history from HTTP back to a WebSocket", async () => {
  const http = new FakeHTTP({ "/poll": () => page("-"), "/events": () => stream(": hello\n\n") });
  const tide = client({ transports: ["websocket", "sse"], fetch: http.fetch, upgradeAfter: 20 });
  const errors = [];
  tide.subscribe("bare").on("error", (error) => errors.push(error));
  for (const n of [1, 2]) (await socket(n)).end(1006);
  await until(() => http.of("/events").length > 0);
  const s = await connected(3);
  const [frame] = await until(() => s.heard("subscribe").length > 0 && s.heard("subscribe"));
  assert.equal(frame.cursor, undefined);
  assert.deepEqual(errors, []);
});

test("tells nothing twice while a WebSocket takes over from HTTP", async () => {
  let say = () => {};
  const http = new FakeHTTP({
    "/poll": () => page("-"),
    "/events": () => new Response(new ReadableStream({ start: (control) => { say = (text) => control.enqueue(new TextEncoder().encode(text)); } })),
  });
  const tide = client({ transports: ["websocket", "sse"], fetch: http.fetch, upgradeAfter: 20 });
  const got = [];
  tide.subscribe("bare", ({ data }) => got.push(data));
  for (const n of [1, 2]) (await socket(n)).end(1006);
  await until(() => http.of("/events").length > 0);
  const s = await connected(3);
  await until(() => s.heard("subscribe").length > 0);
  s.confirm("bare");
  s.tell({ type: "message", channel: "bare", text: "1", user: "ada", time: 1000 });
  say(event({ type: "message", channel: "bare", text: "1", user: "ada", time: 999 }) + event({ type: "message", channel: "bare", binary: "AP8=", time: 1001 }));
  await until(() => got.length === 2);
  s.tell({ type: "message", channel: "bare", binary: "AP8=", time: 1001 });
  s.tell({ type: "message", channel: "bare", data: 3, user: "ada", time: 1002 });
  assert.deepEqual(got, ["1", new Uint8Array([0, 255]), 3]);
});

test("over HTTP publishes go one at a time, in the order given", async () => {
  for (const transport of ["sse", "longpoll"]) {
    let open = 0, most = 0;
    const arrived = [];
    const http = new FakeHTTP({
      "/api/messages": async (_, times, request) => {
        most = Math.max(most, ++open);
        await new Promise((next) => setTimeout(next, 12 - 3 * times)); // the first takes longest
        open--;
        arrived.push(publishOf(request).data);
        return times === 2 ? Response.json({ error: { code: "forbidden" } }, { status: 403 }) : published(`e:${times}`);
      },
    });
    const tide = client({ transports: [transport], fetch: http.fetch });
    await until(() => tide.status.state === "connected");
    const results = await Promise.allSettled([1, 2, 3].map((n) => tide.publish("a", n)));
    assert.deepEqual([arrived, most], [[1, 2, 3], 1]);
    assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"], "one that fails holds up no other");
  }
});

test("over HTTP a channel that is left before its subscribe is answered stays left", async () => {
  for (const [transport, path] of [["sse", "/events"], ["longpoll", "/poll"]]) {
    const answers = [], signals = [];
    const http = new FakeHTTP({
      "/poll": (query, _, { signal }) => {
        if (query.getAll("channel").length > 1 || query.get("cursor") === "e:9") return never();
        signals.push(signal);
        return new Promise((answer) => answers.push(() => answer(page("e:9"))));
      },
      "/events": () => stream(": hello\n\n"),
    });
    const tide = client({ transports: [transport], fetch: http.fetch });
    const got = [];
    tide.subscribe("ghost", () => got.push("ghost")).unsubscribe();
    const left = tide.subscribe("ghost", () => got.push("ghost"));
    await until(() => answers.length === 1);
    left.unsubscribe();
    assert.equal(signals[0].aborted, true, "the node hears of it at once");
    tide.subscribe("kept").on("subscribed", () => got.push("kept"));
    await until(() => answers.length === 2);
    for (const answer of answers) answer();
    const receiving = await until(() => http.of(path).find(({ searchParams }) => searchParams.get("cursor") === "e:9"));
    assert.deepEqual(receiving.searchParams.getAll("channel"), ["kept"]);
    assert.deepEqual(got, ["kept"]);
  }
});

test("an unsubscribe that came too fast is sent again, unless the channel is subscribed to by then", async (t) => {
  const tide = client();
  const one = tide.subscribe("one"), two = tide.subscribe("two");
  const s = await connected(1);
  for (const name of ["one", "two"]) s.confirm(name);
  const later = [];
  t.mock.method(globalThis, "setTimeout", (action) => { later.push(action); });
  for (const left of [one, two]) left.unsubscribe();
  for (const { id } of s.heard("unsubscribe")) s.tell({ type: "error", id, code: "rate_limited", message: "slow down" });
  tide.subscribe("two");
  for (const action of later.splice(0)) action();
  assert.deepEqual(s.heard("unsubscribe").map(({ channel }) => channel), ["one", "two", "one"]);
});

test("over HTTP a channel that is left and subscribed again is on it once", async () => {
  const answers = [];
  const http = new FakeHTTP({
    "/poll": () => new Promise((answer) => answers.push(answer)),
    "/events": () => stream(event({ type: "message", channel: "a", data: 1 })),
  });
  const tide = client({ transports: ["sse"], fetch: http.fetch });
  await until(() => tide.status.state === "connected");
  const got = [];
  tide.subscribe("a", () => got.push("first")).unsubscribe();
  tide.subscribe("a", () => got.push("second"));
  await until(() => answers.length === 2);
  answers.forEach((answer, n) => answer(page(`e:${n}`)));
  await until(() => got.length > 0);
  assert.deepEqual([got, http.of("/events").length], [["second"], 1]);
  assert.equal(http.of("/events")[0].searchParams.get("cursor"), "e:1");
});

const refused = (status, code) => Response.json({ error: { code, message: code } }, { status });

test("over HTTP a limit on sessions passes, and its own stream makes room", async () => {
  for (const [transport, path] of [["sse", "/events"], ["longpoll", "/poll"]]) {
    let sessions = 0; // of which there may be one
    const held = (answer) => (query, times, { signal }) => {
      if (sessions > 0) return refused(429, "limit_exceeded");
      sessions++;
      signal.addEventListener("abort", () => sessions--);
      return answer(query);
    };
    const receive = held(() => path === "/poll" ? never() : stream(": hello\n\n"));
    const http = new FakeHTTP({
      "/poll": (query, ...more) => query.has("cursor") && query.get("wait") !== "0s" ? receive(query, ...more)
        : sessions > 0 ? refused(429, "limit_exceeded") : page("e:1"),
      "/events": receive,
    });
    const tide = client({ transports: [transport], fetch: http.fetch });
    const got = [];
    const note = (name) => {
      const one = tide.subscribe(name);
      one.on("subscribed", () => got.push(name));
      one.on("error", ({ code }) => got.push(code));
    };
    note("a");
    await until(() => sessions === 1);
    note("b");
    await until(() => got.length > 1);
    assert.deepEqual(got, ["a", "b"]);
    await until(() => sessions === 1 && http.of(path).some(({ searchParams }) => searchParams.getAll("channel").join() === "a,b"));
    assert.equal(tide.status.reconnects, 0);
    tide.close();
  }
});

test("says why a stream is refused, which an EventSource would not be told", async () => {
  const http = new FakeHTTP({
    "/poll": () => page("e:1"),
    "/events": (_, __, { headers }) => headers.Accept ? stream("retry: 1000\n: the node is full\n\n") : refused(429, "the node is full"),
  });
  const tide = client({ transports: ["sse"], fetch: http.fetch });
  tide.subscribe("a");
  assert.equal(await new Promise((told) => tide.on("state", ({ state, reason }) => state === "waiting" && told(reason))), "the node is full");
});

test("over HTTP a channel that is full is refused for good, beside others", async () => {
  const http = new FakeHTTP({
    "/poll": (query) => query.get("channel") === "full" ? refused(429, "limit_exceeded") : page("e:1"),
    "/events": () => stream(": hello\n\n"),
  });
  const tide = client({ transports: ["sse"], fetch: http.fetch });
  await new Promise((done) => tide.subscribe("a").on("subscribed", done));
  await until(() => http.of("/events").length === 1);
  const error = await new Promise((failed) => tide.subscribe("full").on("error", failed));
  assert.equal(error.code, "limit_exceeded");
  await until(() => http.of("/events").length === 2); // the stream made room once, in case
  assert.equal(http.of("/poll").filter(({ searchParams }) => searchParams.get("channel") === "full").length, 2);
  assert.equal(tide.status.reconnects, 0);
});

test("over HTTP a token that has expired is renewed, whatever meets it first", async () => {
  for (const use of [(tide) => new Promise((done) => tide.subscribe("b").on("subscribed", done)), (tide) => tide.publish("b", 1)]) {
    let asked = 0;
    const granted = (answer) => (query, _, { headers }) => headers.Authorization === `Bearer ${isJWT({ sub: "ada", n: 2 })}` || query.get("channel") === "a" ? answer() : refused(401, "unauthenticated");
    const http = new FakeHTTP({
      "/poll": granted(() => page("e:1")),
      "/events": () => stream(": hello\n\n"),
      "/api/messages": granted(() => published("e:1")),
    });
    const tide = client({ transports: ["sse"], fetch: http.fetch, token: () => isJWT({ sub: "ada", n: ++asked }) });
    const errors = [];
    tide.subscribe("a").on("error", (error) => errors.push(error));
    await until(() => http.of("/events").length > 0);
    await use(tide);
    assert.deepEqual([errors, asked, tide.status.state], [[], 2, "connected"]);
  }
});

test("over HTTP a channel that is denied to a client without a user ends only its subscription", async () => {
  const http = new FakeHTTP({ "/poll": () => refused(401, "unauthenticated") });
  const tide = client({ transports: ["sse"], fetch: http.fetch });
  const error = await new Promise((told) => tide.subscribe("a").on("error", told));
  assert.deepEqual([error.code, tide.status.state], ["unauthenticated", "connected"]);
});

test("over HTTP more channels than one URL may name end the newest, and the rest go on", async () => {
  for (const [transport, path] of [["sse", "/events"], ["longpoll", "/poll"]]) {
    const receive = (query) => query.getAll("channel").length > 2 ? refused(414, "limit_exceeded") : path === "/poll" ? never() : stream(": hello\n\n");
    const http = new FakeHTTP({ "/poll": (query) => query.has("cursor") ? receive(query) : page("e:1"), "/events": receive });
    const tide = client({ transports: [transport], fetch: http.fetch });
    const ended = [];
    for (const name of ["a", "b", "c", "d"]) tide.subscribe(name).on("error", ({ code }) => ended.push([name, code]));
    await until(() => http.of(path).at(-1)?.searchParams.getAll("channel").join() === "a,b");
    assert.deepEqual([ended, tide.status.state, tide.status.reconnects], [[["d", "limit_exceeded"], ["c", "limit_exceeded"]], "connected", 0]);
  }
});

test("requests carry cookies as the application says", async () => {
  for (const credentials of [undefined, "include"]) {
    const seen = new Set();
    const note = (answer) => (_, __, options) => { seen.add(options.credentials); return answer; };
    const http = new FakeHTTP({ "/healthz": note({}), "/poll": note(page("e:1")), "/events": (...args) => { note()(...args); return stream(": hello\n\n"); }, "/api/messages": note(published("")) });
    const tide = client({ transports: ["sse"], fetch: http.fetch, credentials });
    tide.subscribe("a");
    await tide.publish("a", 1);
    await until(() => http.of("/events").length > 0);
    assert.deepEqual([...seen], [credentials]);
  }
});

test("over HTTP a publish hands on in a header what has led to it", async () => {
  const seen = [];
  const http = new FakeHTTP({ "/healthz": () => ({}), "/api/messages": (_, __, { headers }) => { seen.push(headers.traceparent); return published(""); } });
  const tide = client({ transports: ["sse"], fetch: http.fetch });
  await tide.publish("a", 1, { traceparent: "00-1-2-01" });
  await tide.publish("a", 2);
  assert.deepEqual(seen, ["00-1-2-01", undefined]);
});

test("a socket that fails has somebody who hears of it", async () => {
  let unheard = 0;
  class Refused { // as the package ws does where a connection is refused
    constructor() {
      setImmediate(() => {
        if (!this.onerror) unheard++;
        this.onclose?.({ code: 1006, reason: "" });
      });
    }
    close() {}
  }
  const tide = client({ WebSocket: Refused });
  await until(() => tide.status.state === "waiting");
  assert.equal(unheard, 0);
});

test("where there is no WebSocket it begins with Server-Sent Events", async (t) => {
  const before = globalThis.WebSocket;
  globalThis.WebSocket = undefined;
  t.after(() => { globalThis.WebSocket = before; });
  const http = new FakeHTTP({ "/poll": () => page("e:1"), "/events": () => stream(": hello\n\n") });
  const tide = client({ WebSocket: undefined, transports: undefined, fetch: http.fetch, upgradeAfter: 1 });
  const states = [];
  tide.on("state", ({ state, transport }) => states.push(state + transport));
  await until(() => states.includes("connectedsse"));
  assert.deepEqual(states, ["connecting", "connectedsse"]);
  assert.throws(() => client({ WebSocket: undefined, transports: ["websocket"] }), { code: "bad_request" });
});

test("a token function that fails, or does not answer, is told, and asked again", async () => {
  let asked = 0;
  const cause = new Error("the session has ended");
  const tide = client({ openTimeout: 20, token: () => [() => { throw cause; }, () => Promise.reject(cause), never, () => undefined][asked++]() });
  const errors = [];
  tide.on("error", (error) => errors.push(error));
  const s = await connected(1);
  assert.deepEqual(errors.map(({ code }) => code), ["no_token", "no_token", "no_token"]);
  assert.deepEqual(errors.slice(0, 2).map((error) => error.cause), [cause, cause]);
  assert.match(errors[0].message, /the session has ended/);
  assert.deepEqual(s.said, [], "no token is anonymous");
});

test("a token that is not renewed for now is told", async () => {
  let asked = 0;
  const tide = client({ token: () => { if (++asked === 2) throw new Error("away"); return isJWT({ exp: Date.now() / 1000 + 1.1 }); } });
  const s = await connected(1);
  s.tell({ type: "welcome", id: s.said[0].id, user: "ada" });
  const error = await new Promise((told) => tide.on("error", told));
  assert.equal(error.code, "no_token");
  assert.equal(tide.status.state, "connected");
});

test("takes so many commands without a connection, and no more", async () => {
  const tide = client({ maxQueued: 2 });
  const kept = [tide.publish("a", 1), tide.publish("a", 2)];
  await assert.rejects(tide.publish("a", 3), { code: "queue_full" });
  const s = await connected(1);
  const last = tide.publish("a", 4); // there is a connection now
  for (const { id } of s.heard("publish")) s.tell({ type: "published", id });
  await Promise.all([...kept, last]);
  assert.deepEqual(s.heard("publish").map(({ data }) => data), [1, 2, 4]);
});

test("begins with recent messages, and loses none of them with the connection", async () => {
  const tide = client();
  const got = [];
  tide.subscribe("a", ({ data }) => got.push(data), { recent: 3 });
  let s = await connected(1);
  assert.deepEqual([s.heard("subscribe")[0].recent, s.heard("subscribe")[0].cursor], [3, undefined]);
  s.confirm("a", { cursor: "e:7" });
  s.end(1006); // before they are here
  s = await connected(2);
  assert.deepEqual([s.heard("subscribe")[0].recent, s.heard("subscribe")[0].cursor], [undefined, "e:7"]);
  s.confirm("a", { cursor: "e:10", recovered: true });
  for (const n of [8, 9, 10, 10, 11]) s.message("a", n, `e:${n}`);
  assert.deepEqual(got, [8, 9, 10, 11]);
});

test("a later subscriber of a channel has its own recent messages first, and none twice", async () => {
  const tide = client();
  const first = [], second = [], third = [];
  tide.subscribe("a", ({ data }) => first.push(data));
  const s = await connected(1);
  s.confirm("a", { cursor: "e:2" });
  tide.subscribe("a", ({ data }) => second.push(data), { recent: 2 });
  tide.subscribe("a", ({ data }) => third.push(data), { recent: 2 });
  s.message("a", 3, "e:3");
  s.message("a", 4, "e:4");
  const [asked, refused] = s.heard("history");
  assert.equal(asked.limit, 2);
  s.tell({ type: "history", id: asked.id, channel: "a", messages: [{ data: 2, cursor: "e:2" }, { data: 3, cursor: "e:3" }], cursor: "e:3" });
  s.tell({ type: "error", id: refused.id, code: "not_found", message: "no history" });
  await until(() => second.length === 3 && third.length === 2);
  s.message("a", 5, "e:5");
  assert.deepEqual([first, second, third], [[3, 4, 5], [2, 3, 4, 5], [3, 4, 5]]);
});

test("over HTTP it begins with recent messages, too, and goes on where they end", async () => {
  for (const [transport, path] of [["sse", "/events"], ["longpoll", "/poll"]]) {
    const http = new FakeHTTP({
      "/poll": (query) => query.has("cursor") ? never()
        : query.get("channel") === "a" && query.get("recent") === "2" ? page("e:9", { messages: [{ channel: "a", data: 8, cursor: "e:8" }, { channel: "a", data: 9, cursor: "e:9" }] })
        : page("-"),
      "/events": () => stream(": hello\n\n"),
    });
    const tide = client({ transports: [transport], fetch: http.fetch });
    const got = [], errors = [];
    for (const name of ["a", "bare"]) tide.subscribe(name, ({ data }) => got.push(data), { recent: 2 }).on("error", (error) => errors.push(error));
    const url = await until(() => http.of(path).find(({ searchParams }) => searchParams.getAll("channel").length === 2));
    assert.deepEqual([got, errors, url.searchParams.getAll("cursor").sort()], [[8, 9], [], ["-", "e:9"]]);
  }
});

test("shows every frame that passes", async () => {
  const tide = client();
  const frames = [];
  tide.on("frame", ({ frame, sent }) => frames.push(`${sent ? ">" : "<"} ${frame.type}`));
  tide.subscribe("a");
  const s = await connected(1);
  s.confirm("a");
  assert.deepEqual(frames, ["< welcome", "> subscribe", "< subscribed"]);
});

test("an authentication that is not answered does not hang", async () => {
  client({ token: "t", openTimeout: 20 });
  const s = await connected(1);
  assert.deepEqual(s.said.map((f) => f.type), ["auth"]);
  await socket(2);
});

test("a clock that is fast does not renew the token all the time", async (t) => {
  const now = Date.now() / 1_000, delays = [], start = setTimeout;
  t.mock.method(globalThis, "setTimeout", (action, ms) => { delays.push(ms); return start(action, ms); });
  t.mock.method(Date, "now", () => (now + 7_200) * 1_000);
  client({ token: () => isJWT({ sub: "ada", iat: now, exp: now + 3_600 }) });
  const s = await connected(1);
  delays.length = 0;
  s.tell({ type: "welcome", id: s.said[0].id, user: "ada" });
  assert.equal(Math.round(delays[0]), 3_540_000);
});

test("a token that was issued after it expires does not renew all the time", async (t) => {
  const now = Date.now() / 1_000, delays = [], start = setTimeout;
  t.mock.method(globalThis, "setTimeout", (action, ms) => { delays.push(ms); return start(action, ms); });
  client({ token: () => isJWT({ sub: "ada", iat: now + 7_200, exp: now + 3_600 }) });
  const s = await connected(1);
  delays.length = 0;
  s.tell({ type: "welcome", id: s.said[0].id, user: "ada" });
  assert.equal(Math.round(delays[0] / 1_000), 3_540);
});

test("a token that is short-lived is renewed once in a while, not all the time", async (t) => {
  const delays = [], start = setTimeout;
  client({ token: () => isJWT({ sub: "ada", exp: Date.now() / 1_000 + 1.1 }) });
  const s = await connected(1);
  s.tell({ type: "welcome", id: s.said[0].id, user: "ada" });
  await until(() => s.heard("auth").length === 2);
  t.mock.method(globalThis, "setTimeout", (action, ms) => { delays.push(ms); return start(action, ms); });
  s.tell({ type: "welcome", id: s.heard("auth")[1].id, user: "ada" });
  assert.deepEqual(delays, [30_000]);
});

test("a channel that is left and subscribed again at once has all its recent messages", async () => {
  const tide = client();
  const got = [];
  const first = tide.subscribe("a");
  const s = await connected(1);
  s.confirm("a", { cursor: "e:20" });
  first.unsubscribe();
  tide.subscribe("a", ({ data }) => got.push(data), { recent: 2 });
  s.message("a", 21, "e:21"); // of the first one, on its way
  s.confirm("a", { cursor: "e:19" });
  for (const n of [20, 21, 22]) s.message("a", n, `e:${n}`);
  assert.deepEqual(got, [20, 21, 22]);
});

test("a channel that is subscribed again while an old connection lingers has its messages in order, all of them", async () => {
  const tide = client();
  const got = [];
  const room = tide.subscribe("room");
  const old = await connected(1);
  old.confirm("room", { cursor: "e:10" });
  old.tell({ type: "reconnect", within: 0 });
  const s = await connected(2);
  s.confirm("room", { cursor: "e:10", recovered: true });
  room.unsubscribe();
  const again = tide.subscribe("room", ({ data }) => got.push(data), { recent: 2 });
  again.on("gap", () => assert.fail("there is no gap"));
  old.message("room", 12, "e:12");
  s.confirm("room", { cursor: "e:10" });
  s.message("room", 11, "e:11");
  s.message("room", 12, "e:12");
  assert.deepEqual(got, [11, 12]);
});

test("a subscription that has ended receives nothing, not even what it has asked for", async () => {
  const tide = client();
  const got = [];
  tide.subscribe("a", () => second.unsubscribe());
  const second = tide.subscribe("a", ({ data }) => got.push(data));
  const s = await connected(1);
  s.confirm("a", { cursor: "e:2" });
  const third = tide.subscribe("a", ({ data }) => got.push(data), { recent: 2 });
  third.unsubscribe();
  s.message("a", 3, "e:3");
  const ended = tide.subscribe("a", ({ data }) => got.push(data), { recent: 2 });
  s.tell({ type: "unsubscribed", channel: "a" });
  for (const { id } of s.heard("history")) s.tell({ type: "history", id, channel: "a", messages: [{ data: 2, cursor: "e:2" }], cursor: "e:2" });
  await new Promise((next) => setTimeout(next));
  assert.deepEqual(got, []);
  ended.unsubscribe();
});

test("recent messages that cannot be read are told as a gap, unless there is no history", async () => {
  const tide = client();
  const gaps = [];
  tide.subscribe("a");
  const s = await connected(1);
  s.confirm("a");
  for (const code of ["forbidden", "not_found"]) {
    tide.subscribe("a", undefined, { recent: 2 }).on("gap", () => gaps.push(code));
    s.tell({ type: "error", id: s.heard("history").at(-1).id, code });
  }
  await new Promise((next) => setTimeout(next));
  assert.deepEqual(gaps, ["forbidden"]);
});

test("a publish is not sent again after a sleep in which its key may have been forgotten", async (t) => {
  const tide = client();
  let s = await connected(1);
  const published = tide.publish("a", 1);
  const asked = tide.presence("a");
  const now = Date.now();
  t.mock.method(Date, "now", () => now + 300_000);
  s.end(1006);
  s = await connected(2);
  await assert.rejects(published, { code: "timeout" });
  assert.deepEqual([s.heard("publish").length, s.heard("presence").length], [0, 1]);
  s.tell({ type: "presence", id: s.heard("presence")[0].id, members: [] });
  await asked;
});

test("a publish that is no JSON fails at once, and holds up no other", async () => {
  const tide = client();
  await assert.rejects(tide.publish("a", 1n), TypeError);
  const published = tide.publish("a", 1);
  const s = await connected(1);
  s.tell({ type: "published", id: s.heard("publish")[0].id });
  await published;
});

/** Puts values in the place of global ones until the test ends. */
function stand(t, values) {
  for (const [name, value] of Object.entries(values)) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true });
    t.after(() => before ? Object.defineProperty(globalThis, name, before) : delete globalThis[name]);
  }
}

/** A tab's client, with the port of its worker, which is the test's. */
function shared(t, options) {
  const { port1, port2 } = new MessageChannel();
  const made = {};
  stand(t, { SharedWorker: class { port = port1; constructor() { made.worker = this; } }, navigator: { locks: { request: (_, hold) => hold() } } });
  const said = [];
  port2.onmessage = ({ data }) => said.push(data);
  const tide = shareTidegate("http://gateway.test/", options);
  t.after(() => { tide.close(); port1.close(); });
  return Object.assign(made, { tide, port: port2, said });
}

/** The worker, with a function that opens a tab, which is the test's. */
async function worker(t) {
  stand(t, { WebSocket: FakeSocket, navigator: { locks: { request: () => {} } } });
  await import("../tidegate/tidegate-shared-worker.js");
  return () => {
    const { port1: port, port2 } = new MessageChannel();
    const said = [];
    port.onmessage = ({ data }) => said.push(data);
    globalThis.onconnect({ ports: [port2] });
    port.postMessage({ type: "open", url: "http://gateway.test/", options: { minDelay: 1, maxDelay: 2, openTimeout: 50, transports: ["websocket"] }, hasToken: true, lock: "" });
    t.after(() => { port.postMessage({ type: "bye" }); setTimeout(() => port.close(), 10); });
    return { port, said, asked: () => said.findLast(({ type }) => type === "token"), state: () => said.findLast(({ event }) => event === "state")?.detail.state };
  };
}

test("a shared client publishes what its own would, and rejects what cannot be", async (t) => {
  const { tide, port, said } = shared(t);
  const cyclic = {};
  cyclic.self = cyclic;
  for (const data of [1n, cyclic, () => {}]) await assert.rejects(tide.publish("a", data));
  await assert.rejects(tide.publish("a", 1, { event: () => {} }));
  const published = [
    tide.publish("a", { at: new Date(0), who: { toJSON: () => "ada" } }),
    tide.publish("a", undefined),
    tide.publish("a", new Uint8Array([1])),
    tide.publish("a", 42, { kind: "text" }),
  ];
  const calls = await until(() => { const calls = said.filter(({ type }) => type === "call"); return calls.length === 4 && calls; });
  assert.deepEqual(calls.map(({ args }) => args[1]), [{ at: "1970-01-01T00:00:00.000Z", who: "ada" }, null, new Uint8Array([1]), "42"]);
  for (const { id } of calls) port.postMessage({ type: "answer", id, event: "value", detail: { cursor: "e:1" } });
  assert.deepEqual((await Promise.all(published)).at(-1), { cursor: "e:1" });
  port.postMessage({ type: "event", event: "roundtrip", detail: 7 });
  await until(() => tide.status.roundTrip === 7);
});

test("a shared client gives its worker a token only when it is asked, so that a newer tab's token counts", async (t) => {
  const { port, said } = shared(t, { token: "t" });
  await until(() => said[0]?.type === "open");
  assert.deepEqual([said[0].hasToken, said[0].options], [true, {}]);
  port.postMessage({ type: "token", id: 7 });
  await until(() => said[1]);
  assert.deepEqual(said[1], { type: "token", id: 7, token: "t" });
});

test("a shared client whose worker cannot start says so", async (t) => {
  const { tide, worker } = shared(t);
  const errors = [];
  tide.on("error", ({ code }) => errors.push(code));
  const published = tide.publish("a", 1);
  worker.onerror?.();
  await assert.rejects(published, { code: "closed" });
  assert.deepEqual([errors, tide.status.state], [["closed"], "closed"]);
});

test("a shared client whose worker does not answer lets no call hang", async (t) => {
  const { tide } = shared(t, { commandTimeout: 20 });
  await assert.rejects(tide.presence("a"), { code: "timeout" });
});

test("the gateway's own subscribe to a channel that the client subscribes to, too, is told once", async () => {
  const tide = client();
  const told = [];
  const inbox = tide.subscribe("@ada", ({ data }) => told.push(data));
  inbox.on("subscribed", ({ recovered }) => told.push(recovered ? "subscribed" : "missed"));
  inbox.on("gap", () => told.push("gap"));
  let s = await connected(1);
  s.tell({ type: "subscribed", channel: "@ada" });
  s.confirm("@ada");
  s.message("@ada", 1);
  assert.deepEqual(told.splice(0), ["subscribed", 1]);
  s.end(1006);
  s = await connected(2);
  s.tell({ type: "subscribed", channel: "@ada" });
  s.confirm("@ada");
  assert.deepEqual(told, ["missed", "gap"]);
});

test("a subscribe that is refused for now loses nothing on a channel that the gateway subscribes to, too", async () => {
  const tide = client();
  const got = [];
  tide.subscribe("@ada", ({ data }) => got.push(data));
  let s = await connected(1);
  s.confirm("@ada", { cursor: "e:5" });
  s.end(1006);
  s = await connected(2);
  s.tell({ type: "subscribed", channel: "@ada", cursor: "e:7" });
  s.tell({ type: "error", id: s.heard("subscribe")[0].id, code: "unavailable", message: "later" });
  s.message("@ada", 8, "e:8");
  const [, again] = await until(() => s.heard("subscribe").length === 2 && s.heard("subscribe"));
  assert.equal(again.cursor, "e:5");
  s.confirm("@ada", { cursor: "e:8", recovered: true });
  for (const n of [6, 7, 8]) s.message("@ada", n, `e:${n}`);
  assert.deepEqual(got, [6, 7, 8]);
});

test("the end of a channel that only the gateway has subscribed to is told", async () => {
  const tide = client();
  const errors = [];
  tide.on("error", ({ code }) => errors.push(code));
  let s = await connected(1);
  s.tell({ type: "subscribed", channel: "granted", cursor: "e:1" });
  s.end(1006);
  s = await connected(2);
  s.tell({ type: "error", id: s.heard("subscribe", "granted")[0].id, code: "forbidden", message: "no" });
  assert.deepEqual(errors, ["forbidden"]);
});

test("a later subscriber of a channel has what follows its own cursor, however many pages that are", async () => {
  const tide = client();
  const got = [], gaps = [];
  tide.subscribe("a");
  const s = await connected(1);
  s.confirm("a", { cursor: "e:4" });
  tide.subscribe("a", ({ data }) => got.push(data), { cursor: "e:1" }).on("gap", () => gaps.push("gap"));
  s.message("a", 5, "e:5");
  for (const n of [2, 4]) {
    const asked = await until(() => s.heard("history").find(({ cursor }) => cursor === `e:${n - 1}`));
    s.tell({ type: "history", id: asked.id, channel: "a", messages: [n, n + 1].map((data) => ({ data, cursor: `e:${data}` })), cursor: `e:${n + 1}` });
  }
  await until(() => got.length === 4);
  s.message("a", 6, "e:6");
  assert.deepEqual([got, gaps, s.heard("history").length], [[2, 3, 4, 5, 6], [], 2]);

  tide.subscribe("a", ({ data }) => got.push(data), { cursor: "old:1" }).on("gap", () => gaps.push("gap"));
  const lost = s.heard("history").at(-1);
  s.tell({ type: "history", id: lost.id, channel: "a", messages: [{ data: 6, cursor: "e:6" }], cursor: "e:6", recovered: false });
  await until(() => got.length === 6);
  assert.deepEqual(gaps, ["gap"]);

  const left = tide.subscribe("a", undefined, { cursor: "e:1" });
  const last = s.heard("history").at(-1);
  left.unsubscribe();
  s.tell({ type: "history", id: last.id, channel: "a", messages: [{ data: 2, cursor: "e:2" }], cursor: "e:2" });
  await new Promise((next) => setTimeout(next));
  assert.equal(s.heard("history").at(-1), last, "one that was left reads on");
});

test("publishes bytes of any type, and text as bytes, as they are", async () => {
  const tide = client();
  const s = await connected(1);
  for (const [data, kind] of [[new DataView(new Uint8Array([9, 0, 255]).buffer, 1)], [new Uint16Array([0xff00])], ["ü", "binary"]]) tide.publish("a", data, { kind }).catch(() => {});
  assert.deepEqual(s.heard("publish").map(({ binary }) => binary), ["AP8=", "AP8=", "w7w="]);
});

test("where the worker's file is another origin's, the tab has its own connection", (t) => {
  stand(t, { SharedWorker: class { constructor() { throw new DOMException("another origin", "SecurityError"); } }, navigator: { locks: {} } });
  const tide = shareTidegate("http://gateway.test/", { transports: ["longpoll"] });
  clients.push(tide);
  assert.ok(tide instanceof Tidegate);
});

test("a worker asks another tab for a token if the newest one is suspended", async (t) => {
  const open = await worker(t);
  const [older, newer] = [open(), open()];
  await until(() => newer.asked() || older.asked());
  const { id } = await until(() => older.asked());
  older.port.postMessage({ type: "token", id, token: "t" });
  const s = await connected(1);
  assert.equal(s.said[0].token, "t");
});

test("a tab that opens after the clients were disconnected connects them again", async (t) => {
  const open = await worker(t);
  const first = open();
  first.port.postMessage({ type: "token", id: (await until(() => first.asked())).id, token: "" });
  (await connected(1)).end(4009, "disconnected");
  await until(() => first.state() === "closed");
  const second = open();
  second.port.postMessage({ type: "token", id: (await until(() => second.asked())).id, token: "" });
  await connected(2);
  await until(() => first.state() === "connected");
});

test("what is unavailable is sent again in order, and before what is published later", async () => {
  const tide = client();
  const s = await connected(1);
  const published = [tide.publish("a", 1), tide.publish("a", 2)];
  const refuse = ({ id }) => s.tell({ type: "error", id, code: "unavailable", message: "away" });
  s.heard("publish").reverse().forEach(refuse);
  published.push(tide.publish("a", 3));
  const again = (await until(() => s.heard("publish").length === 5 && s.heard("publish"))).slice(2);
  assert.deepEqual(again.map(({ data }) => data), [1, 2, 3]);
  for (const { id } of again) s.tell({ type: "published", id });
  await Promise.all(published);
});

test("a message that is among the recent ones before it arrives itself is told once", async () => {
  const tide = client();
  const got = [];
  tide.subscribe("a");
  const s = await connected(1);
  s.confirm("a", { cursor: "e:1" });
  tide.subscribe("a", ({ data }) => got.push(data), { recent: 2 });
  s.tell({ type: "history", id: s.heard("history")[0].id, channel: "a", messages: [{ data: 1, cursor: "e:1" }, { data: 2, cursor: "e:2" }], cursor: "e:2" });
  await until(() => got.length === 2);
  s.message("a", 2, "e:2");
  s.message("a", 3, "e:3");
  assert.deepEqual(got, [1, 2, 3]);
});

test("a new connection does not make commands wait for what an earlier one refused", async () => {
  const tide = client();
  let s = await connected(1);
  const published = [tide.publish("a", 1)];
  s.tell({ type: "error", id: s.heard("publish")[0].id, code: "unavailable", message: "away" });
  s.end(1006);
  s = await connected(2);
  published.push(tide.publish("a", 2));
  assert.deepEqual(s.heard("publish").map(({ data }) => data), [1, 2]);
  for (const { id } of s.heard("publish")) s.tell({ type: "published", id });
  await Promise.all(published);
});

test("what has waited is sent in bursts, and one at a time once that came too fast", async (t) => {
  const tide = client();
  const delays = [], start = setTimeout;
  const published = Array.from({ length: 100 }, (_, i) => tide.publish("a", i));
  const s = await connected(1);
  t.mock.method(globalThis, "setTimeout", (action, ms) => { delays.push(ms); return start(action, ms); });
  assert.equal(s.heard("publish").length, 64, "less than a gateway allows in a second");
  const settle = ({ id, data }, code) => s.tell(code ? { type: "error", id, code, message: "slow down" } : { type: "published", id, channel: "a", data });
  for (const frame of s.heard("publish")) settle(frame, frame.data < 60 ? "" : "rate_limited");
  await until(() => s.heard("publish").length === 64 + 40);
  const again = s.heard("publish").slice(64);
  assert.deepEqual(again.map(({ data }) => data), Array.from({ length: 40 }, (_, i) => 60 + i), "in order");
  assert.ok(delays.filter((ms) => ms === 12.5).length >= 39, `one at a time, not ${delays}`);
  for (const frame of again) settle(frame);
  await Promise.all(published);
});

test("what the last connection has not confirmed is sent before what follows over the next one", async () => {
  const tide = client();
  const old = await connected(1);
  const published = [tide.publish("a", 1)];
  old.tell({ type: "reconnect", within: 0.001 });
  const next = await connected(2);
  published.push(tide.publish("a", 2));
  const [first, second] = next.heard("publish");
  assert.deepEqual([first.data, second.data], [1, 2]);
  assert.equal(first.key, old.heard("publish")[0].key);
  old.tell({ type: "published", id: first.id });
  next.tell({ type: "published", id: second.id });
  await Promise.all(published);
});

test("a stream that stays silent on the best transport is tried ever less often", async (t) => {
  const http = new FakeHTTP({ "/poll": (query) => query.get("wait") === "25s" ? never() : page("e:1"), "/events": () => never() });
  const delays = [], start = setTimeout;
  t.mock.method(globalThis, "setTimeout", (action, ms) => { delays.push(ms); return start(action, ms); });
  const tide = client({ transports: ["sse", "longpoll"], fetch: http.fetch, openTimeout: 40, upgradeAfter: 17 });
  tide.subscribe("a");
  await until(() => [17, 34, 68].every((ms) => delays.includes(ms)));
});

test("an attempt to replace a connection that fails does not move away from what worked", async () => {
  let end = () => {};
  const http = new FakeHTTP({
    "/poll": (query) => query.get("wait") === "25s" ? never() : page("e:1"),
    "/events": () => new Response(new ReadableStream({ start: (control) => { end = () => control.close(); } })),
  });
  const tide = client({ transports: ["websocket", "sse", "longpoll"], fetch: http.fetch, upgradeAfter: 20 });
  tide.subscribe("a");
  for (const n of [1, 2]) (await socket(n)).end(1006);
  await until(() => http.of("/events").length > 0);
  const attempt = await socket(3);
  end();
  await until(() => tide.status.transport === "");
  attempt.end(1006);
  await until(() => tide.status.state === "connected");
  assert.equal(tide.status.transport, "sse");
});

test("a page that is frozen closes a connection that is being opened, and counts no failure", async (t) => {
  globalThis.document = Object.assign(new EventTarget(), { hidden: true });
  t.after(() => delete globalThis.document);
  client({ transports: ["websocket", "longpoll"], fetch: () => never() });
  for (const n of [1, 2, 3]) {
    const s = await socket(n);
    globalThis.document.dispatchEvent(new Event("freeze"));
    assert.equal(s.readyState, 3);
  }
  await connected(4);
});

test("over HTTP the names of channels and keys may be any text", async () => {
  const seen = [];
  const http = new FakeHTTP({
    "/api/messages": (_, __, request) => { const { channels, key } = publishOf(request); seen.push([...channels, key]); return published("e:1"); },
    "/api/channels/a%EF%BF%BDb/messages": () => page("e:2"),
  });
  const tide = client({ transports: ["longpoll"], fetch: http.fetch });
  assert.deepEqual(await tide.publish("a\ud800b", 1, { key: "k\udc00" }), { cursor: "e:1" });
  assert.deepEqual(await tide.publish("..", 1, { key: "k" }), { cursor: "e:1" });
  assert.deepEqual(seen, [["a\ud800b", "k\udc00"], ["..", "k"]]); // as over a WebSocket
  assert.equal((await tide.history("a\ud800b")).cursor, "e:2");
});

test("a key that is no text is refused at once over HTTP, too, and none is made up for by a key of its own", async () => {
  const keys = [];
  const tide = client({ transports: ["longpoll"], fetch: new FakeHTTP({
    "/api/messages": (_, __, request) => {
      const { key } = publishOf(request);
      if (typeof key !== "string") return refused(400, "bad_request");
      keys.push(key);
      return published("e:1");
    },
  }).fetch });
  await assert.rejects(tide.publish("a", 1, { key: 17 }), { code: "bad_request" });
  for (const key of [null, ""]) await tide.publish("a", 1, { key });
  assert.equal(keys.length, 2);
  for (const key of keys) assert.match(key, /^(\d+-){3}\d+$/);
});

test("over HTTP a publish that fails for now is sent again before those behind it", async () => {
  const arrived = [];
  const http = new FakeHTTP({
    "/api/messages": (_, times, request) => {
      if (times === 1) throw new TypeError("the network is away");
      if (times === 2) return Response.json({ error: { code: "unavailable" } }, { status: 503 });
      arrived.push(publishOf(request).data);
      return published("e:1");
    },
  });
  const tide = client({ transports: ["longpoll"], fetch: http.fetch });
  await until(() => tide.status.state === "connected");
  await Promise.all([1, 2, 3].map((n) => tide.publish("a", n)));
  assert.deepEqual(arrived, [1, 2, 3]);
  await tide.publish("a", 4);
  assert.deepEqual(arrived, [1, 2, 3, 4]);
});

test("falls back to HTTP even if WebSockets are closed normally before the gateway has answered", async () => {
  const http = new FakeHTTP({});
  const tide = client({ transports: ["websocket", "longpoll"], fetch: http.fetch });
  for (const n of [1, 2]) (await socket(n)).end(1000);
  await until(() => tide.status.transport === "longpoll" || sockets.length > 5);
  assert.equal(sockets.length, 2);
});

test("over HTTP a channel whose publishes fail for now does not hold up the other channels", async () => {
  const arrived = [];
  let refusals = 0;
  const http = new FakeHTTP({
    "/api/messages": (_, __, request) => {
      const [channel] = publishOf(request).channels;
      if (channel === "a" && ++refusals < 4) return refused(503, "unavailable");
      arrived.push(channel);
      return published("e:1");
    },
  });
  const tide = client({ transports: ["longpoll"], fetch: http.fetch });
  await until(() => tide.status.state === "connected");
  await Promise.all(["a", "b"].map((name) => tide.publish(name, 1)));
  assert.deepEqual(arrived, ["b", "a"]);
});
