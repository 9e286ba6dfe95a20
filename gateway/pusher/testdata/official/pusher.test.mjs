import assert from "node:assert/strict";
import { after, test } from "node:test";
import { backend, closeAll, connect, happens, joins, make } from "./clients.mjs";

after(closeAll);

test("events of public and private channels", async () => {
  const [alice, bob] = [await connect(), await connect()];
  for (const name of ["news", "private-news"]) {
    const channels = [await joins(alice, name), await joins(bob, name)];
    const heard = channels.map((channel) => happens(channel, "said"));
    await backend.trigger(name, "said", { text: "é \"quoted\"\n" });
    for (const data of await Promise.all(heard)) assert.deepEqual(data, { text: "é \"quoted\"\n" });
  }
});

test("a publisher's own connection is left out", async () => {
  const [alice, bob] = [await connect(), await connect()];
  const [own, other] = [await joins(alice, "left-out"), await joins(bob, "left-out")];
  const heard = [];
  own.bind_global((name) => heard.push(name));
  const first = happens(other, "first");
  await backend.trigger("left-out", "first", 1, { socket_id: alice.connection.socket_id });
  await first;
  const second = happens(own, "second");
  await backend.trigger("left-out", "second", 2);
  await second;
  assert.ok(!heard.includes("first"), `heard ${heard}`);
});

test("presence: who is there, who comes and who goes", async () => {
  const alice = await connect({ user_id: "alice", user_info: { name: "Alice" } });
  const hers = await joins(alice, "presence-room");
  assert.equal(hers.members.count, 1);
  assert.equal(hers.members.me.id, "alice");

  const added = happens(hers, "pusher:member_added");
  const bob = await connect({ user_id: "bob", user_info: { name: "Bob" } });
  const his = await joins(bob, "presence-room");
  assert.deepEqual(await added, { id: "bob", info: { name: "Bob" } });
  assert.equal(his.members.count, 2);
  assert.deepEqual(his.members.get("alice").info, { name: "Alice" });

  const { body } = await backend.get({ path: "/channels/presence-room/users" }).then(async (r) => ({ body: await r.json() }));
  assert.deepEqual(body.users.map((u) => u.id).sort(), ["alice", "bob"]);
  const counts = await backend.get({ path: "/channels/presence-room", params: { info: "user_count,subscription_count" } }).then((r) => r.json());
  assert.deepEqual(counts, { occupied: true, user_count: 2, subscription_count: 2 });

  const removed = happens(hers, "pusher:member_removed");
  bob.disconnect();
  assert.equal((await removed).id, "bob");
  assert.equal(hers.members.count, 1);
});

test("presence: a user who has signed in needs no channel_data", async () => {
  const watcher = await joins(await connect({ user_id: "watcher" }), "presence-signed-in");
  const added = happens(watcher, "pusher:member_added");
  const unsaid = ({ channelName, socketId }, done) => done(null, backend.authorizeChannel(socketId, channelName));
  const erin = await connect({ id: "erin", user_info: { name: "Erin" } }, { channelAuthorization: { customHandler: unsaid } });
  erin.signin();
  const hers = await joins(erin, "presence-signed-in");
  assert.deepEqual(hers.members.me, { id: "erin", info: { name: "Erin" } });
  assert.deepEqual(await added, { id: "erin", info: { name: "Erin" } });
});

test("a second connection of a member neither comes nor goes", async () => {
  const watcher = await joins(await connect({ user_id: "watcher" }), "presence-twice");
  const changes = [];
  watcher.bind_global((name) => changes.push(name));
  let added = happens(watcher, "pusher:member_added");
  const first = await connect({ user_id: "carol" });
  await joins(first, "presence-twice");
  await added;
  const second = await connect({ user_id: "carol" });
  assert.equal((await joins(second, "presence-twice")).members.count, 2);
  first.disconnect();
  added = happens(watcher, "pusher:member_added");
  await joins(await connect({ user_id: "dave" }), "presence-twice");
  assert.equal((await added).id, "dave");
  assert.deepEqual(changes.filter((name) => name.startsWith("pusher:")), ["pusher:member_added", "pusher:member_added"]);
});

test("client events: to the others, with the member's name", async () => {
  const alice = await connect({ user_id: "alice" });
  const bob = await connect({ user_id: "bob" });
  const [hers, his] = [await joins(alice, "presence-typing"), await joins(bob, "presence-typing")];
  const echoed = [];
  hers.bind("client-typing", (data) => echoed.push(data));
  const heard = happens(his, "client-typing", { whole: true });
  assert.ok(hers.trigger("client-typing", { on: true }));
  const [data, metadata] = await heard;
  assert.deepEqual(data, { on: true });
  assert.equal(metadata.user_id, "alice");
  const last = happens(hers, "last");
  await backend.trigger("presence-typing", "last", {});
  await last;
  assert.deepEqual(echoed, []);
});

test("client events that may not be are errors, and the connection lives", async () => {
  const client = await connect();
  await joins(client, "public");
  const refused = happens(client.connection, "error");
  client.send_event("client-x", {}, "public");
  assert.match((await refused).data.message, /private and presence/);
  const channel = await joins(client, "private-flood");
  const tooFast = happens(client.connection, "error");
  for (let i = 0; i < 50; i++) channel.trigger("client-x", i);
  assert.equal((await tooFast).data.code, 4301);
  const alive = happens(channel, "alive");
  await backend.trigger("private-flood", "alive", 1);
  await alive;
});

test("encrypted channels", async () => {
  const client = await connect();
  const channel = await joins(client, "private-encrypted-x");
  const heard = happens(channel, "secret");
  await backend.trigger("private-encrypted-x", "secret", { text: "sealed" });
  assert.deepEqual(await heard, { text: "sealed" });
});

test("cache channels: the last event comes first, or that there is none", async () => {
  for (const name of ["cache-x", "private-cache-x", "presence-cache-x", "private-encrypted-cache-x"]) {
    const early = (await connect({ user_id: "early" })).subscribe(name);
    await happens(early, "pusher:cache_miss");
    const live = happens(early, "news");
    await backend.trigger(name, "news", { n: 1 });
    assert.deepEqual(await live, { n: 1 });
    const late = (await connect({ user_id: "late" })).subscribe(name);
    assert.deepEqual(await happens(late, "news"), { n: 1 });
  }
});

test("client events are not cached", async () => {
  const speaker = await joins(await connect(), "private-cache-quiet");
  const listener = await joins(await connect(), "private-cache-quiet");
  const heard = happens(listener, "client-x");
  speaker.trigger("client-x", 1);
  await heard;
  await happens((await connect()).subscribe("private-cache-quiet"), "pusher:cache_miss");
});

test("sign-in, events to a user, and the end of their connections", async () => {
  const client = await connect({ id: "erin", user_info: { name: "Erin" } });
  client.signin();
  await client.user.signinDonePromise;
  assert.equal(client.user.user_data.id, "erin");
  const heard = happens(client.user, "said");
  await backend.sendToUser("erin", "said", { text: "for you" });
  assert.deepEqual(await heard, { text: "for you" });
  const gone = happens(client.connection, "disconnected");
  await backend.terminateUserConnections("erin");
  await gone;
});

test("a sign-in with a wrong signature is refused for good", async () => {
  const client = await connect(undefined, {
    userAuthentication: { customHandler: (_, done) => done(null, { auth: `${process.env.APP_KEY}:00`, user_data: '{"id":"mallory"}' }) },
  });
  const refused = happens(client.connection, "error");
  const gone = happens(client.connection, "disconnected");
  client.signin();
  assert.equal((await refused).data.code, 4009);
  await gone;
});

test("a subscription with a wrong signature is an error", async () => {
  const client = await connect(undefined, {
    channelAuthorization: { customHandler: (_, done) => done(null, { auth: `${process.env.APP_KEY}:00` }) },
  });
  const error = await happens(client.subscribe("private-x"), "pusher:subscription_error");
  assert.equal(error.type, "AuthError");
  assert.equal(error.status, 401);
});

test("a name that is too long is an error", async () => {
  const client = await connect();
  const error = await happens(client.subscribe("x".repeat(165)), "pusher:subscription_error");
  assert.match(error.error, /164/);
});

test("a wrong key is refused for good", async () => {
  const client = make(undefined, { key: "nobody" });
  const [error] = await Promise.all([happens(client.connection, "error"), happens(client.connection, "disconnected")]);
  assert.equal(error.error.data.code, 4001);
});
