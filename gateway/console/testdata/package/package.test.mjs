// Run by go test in a project that has installed the package from its tarball,
// with the address of a gateway in GATEWAY.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { promisify } from "node:util";
import { render } from "react";
import { Tidegate, TidegateError } from "tidegate";
import { useChannel, usePresence, useStatus } from "tidegate/react";
import { shareTidegate } from "tidegate/shared";

const gateway = process.env.GATEWAY;

function open(t, options, url = gateway) {
  const tide = new Tidegate(url, options);
  t.after(() => tide.close());
  return tide;
}

async function until(holds, what = String(holds)) {
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((next) => setTimeout(next, 10))) {
    const value = await holds();
    if (value) return value;
  }
  assert.fail(`waited in vain: ${what}`);
}

const api = async (path) => (await fetch(`${gateway}/api/${path}`)).json();
const connected = (tide) => until(() => tide.status.state === "connected");
const subscribed = (subscription) => new Promise((done) => subscription.on("subscribed", done));

for (const transport of ["sse", "longpoll"]) {
  test(`over ${transport}: kinds, order, and who has left`, async (t) => {
    const tide = open(t, { transports: [transport] });
    const got = [];
    const channel = `kinds:${transport}`;
    await subscribed(tide.subscribe(channel, (message) => got.push(message)));
    const said = [[42], ["42", { kind: "text", event: "note" }], [new Uint8Array([0, 255])], ...Array.from({ length: 20 }, (_, n) => [n])];
    await Promise.all(said.map(([data, options]) => tide.publish(channel, data, options)));
    await until(() => got.length === said.length);
    assert.deepEqual(got.map(({ data }) => data), said.map(([data]) => data));
    assert.deepEqual(got.slice(0, 3).map(({ kind, event }) => [kind, event]), [["json", ""], ["text", "note"], ["binary", ""]]);
    assert.ok(got.every(({ time, cursor }) => time instanceof Date && cursor));

    const ghost = `ghost:${transport}`;
    for (let n = 0; n < 5; n++) tide.subscribe(ghost).unsubscribe();
    const late = tide.subscribe(ghost);
    await new Promise((next) => setTimeout(next, n++ % 2));
    late.unsubscribe();
    await subscribed(tide.subscribe(`after:${transport}`));
    await until(async () => {
      const names = (await api("channels")).channels.map((one) => one.channel);
      return names.includes(`after:${transport}`) && !names.includes(ghost);
    }, "the node has nobody on the channel that was left");
  });
}
let n = 0;

test("a gateway that is not there ends nothing", async (t) => {
  const tide = open(t, { minDelay: 1, maxDelay: 2, commandTimeout: 50 }, "http://127.0.0.1:1");
  let attempts = 0;
  tide.on("state", ({ state }) => { if (state === "waiting") attempts++; });
  await until(() => attempts >= 3);
  await assert.rejects(tide.publish("a", 1), (error) => error instanceof TidegateError && error.code === "timeout");
});

test("the recent messages come first, to each subscriber of a channel", async (t) => {
  const tide = open(t);
  for (let i = 1; i <= 3; i++) await tide.publish("recent", i);
  const first = [], second = [];
  await subscribed(tide.subscribe("recent", ({ data }) => first.push(data), { recent: 2 }));
  await until(() => first.length === 2);
  tide.subscribe("recent", ({ data }) => second.push(data), { recent: 3 });
  await until(() => second.length === 3);
  await tide.publish("recent", 4);
  await until(() => first.length === 3 && second.length === 4);
  assert.deepEqual([first, second], [[2, 3, 4], [1, 2, 3, 4]]);
});

test("a client that would share its connection has its own where there are no tabs", async (t) => {
  const tide = shareTidegate(gateway, { name: "ada" });
  t.after(() => tide.close());
  await connected(tide);
});

test("React: a channel, who is on it, and the connection", async (t) => {
  const tide = open(t);
  let name = "react:one";
  const view = render(() => ({ channel: useChannel(tide, name, { keep: 2 }), presence: usePresence(tide, name), status: useStatus(tide) }));
  t.after(view.unmount);
  await until(() => view.result.channel.subscribed && view.result.status.state === "connected");
  for (const n of [1, 2, 3]) await view.result.channel.publish(n);
  await until(() => view.result.channel.messages.at(-1)?.data === 3);
  assert.deepEqual(view.result.channel.messages.map(({ data }) => data), [2, 3]);
  assert.equal(view.result.presence.error, null);
  name = "react:two";
  assert.deepEqual(view.draw().channel.messages, [], "it does not show another channel's");
  await until(() => view.result.channel.subscribed && view.result.channel.messages.length === 0);
  await until(async () => !(await api("channels")).channels.some(({ channel }) => channel === "react:one"));
  view.unmount();
  await until(async () => !(await api("channels")).channels.some(({ channel }) => channel === "react:two"));
});

test("React: a client that is not there yet, as on a server", async (t) => {
  let tide = null;
  const view = render(() => ({ channel: useChannel(tide, "react:late"), presence: usePresence(tide, "react:late"), status: useStatus(tide) }));
  t.after(view.unmount);
  assert.deepEqual([view.result.channel.messages, view.result.presence.members, view.result.status.state], [[], [], "connecting"]);
  await assert.rejects(view.result.channel.publish(1), { code: "closed" });
  tide = open(t);
  view.draw();
  await until(() => view.result.channel.subscribed && view.result.status.state === "connected");
});

test("React: a channel of which no message is kept", async (t) => {
  const tide = open(t);
  const heard = [];
  tide.subscribe("react:none", ({ data }) => heard.push(data));
  const view = render(() => useChannel(tide, "react:none", { keep: 0 }));
  t.after(view.unmount);
  await until(() => view.result.subscribed);
  await view.result.publish(1);
  await until(() => heard.length === 1);
  view.draw();
  assert.deepEqual(view.result.messages, []);
});

test("React: those who come and go make it ask who is there once, and once more at most", async (t) => {
  const handlers = {}, asked = [];
  const tide = {
    subscribe: () => ({ on: (type, handler) => { handlers[type] = handler; }, unsubscribe() {} }),
    presence: () => new Promise((answer) => asked.push(answer)),
  };
  const view = render(() => usePresence(tide, "crowd"));
  t.after(view.unmount);
  for (let n = 0; n < 3; n++) handlers.join();
  assert.equal(asked.length, 1);
  asked[0]([]);
  await until(() => asked.length === 2);
  asked[1]([{ user: "ada", sessions: 1 }]);
  await until(() => view.result.members.length === 1);
  assert.equal(asked.length, 2);
  handlers.leave();
  assert.equal(asked.length, 3);
});

test("the README has an example of each option, field, event, state and code", async () => {
  const readme = await readFile("node_modules/tidegate/README.md", "utf8");
  const examples = [...readme.matchAll(/^```js\n(.*?)^```/gms)].map(([, code]) => code).join("\n");
  const types = await readFile("node_modules/tidegate/types/tidegate.d.ts", "utf8");
  const words = [];
  for (const name of ["Options", "SubscribeOptions", "PublishOptions", "Message", "Status", "Subscribed", "ClientEvents", "SubscriptionEvents"]) {
    const [, body] = types.match(new RegExp(`^export type ${name}(?:<[^>]*>)? = \\{\n(.*?)^\\};`, "ms")) ?? assert.fail(`no type ${name}`);
    words.push(...[...body.matchAll(/^    (\w+)\??: /gm)].map(([, word]) => word));
  }
  const [, codes] = types.match(/Its code is one of (.*?)\*\//s);
  words.push(...codes.match(/\b[a-z]+(?:_[a-z]+)+\b|\b(?:unauthenticated|forbidden|unavailable|internal|timeout|closed|disconnected|gone)\b/g));
  words.push("connecting", "connected", "waiting");
  assert.ok(words.length > 60, words.join());
  assert.deepEqual(words.filter((word) => !new RegExp(`\\b${word}\\b`).test(examples)), []);
});

test("the examples of the README run", async () => {
  const readme = await readFile("node_modules/tidegate/README.md", "utf8");
  const examples = [...readme.matchAll(/^```js\n(.*?)^```/gms)].map(([, code]) => code);
  assert.ok(examples.length > 10);
  await Promise.all(examples.map(async (example, n) => {
    const code = example.replaceAll(/https:\/\/\w+\.example\.com/g, gateway);
    const before = code.includes("const tide =") ? "" : `import { Tidegate } from "tidegate"; const tide = new Tidegate("${gateway}");\n`;
    await writeFile(`example${n}.mjs`, `${before}${code}\nprocess.exit(0);\n`);
    await promisify(execFile)(process.execPath, [`example${n}.mjs`]).catch((error) => assert.fail(`${code}\n${error.stderr}`));
  }));
});
