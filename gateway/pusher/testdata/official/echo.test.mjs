// Laravel Echo, with the options that the guide gives.
import assert from "node:assert/strict";
import { test } from "node:test";
import Echo from "laravel-echo";
import Pusher from "pusher-js";
import { backend, optionsOf, within } from "./clients.mjs";

const listen = (broadcaster, user) =>
  new Echo({ broadcaster, key: process.env.APP_KEY, Pusher, ...optionsOf(user) });

for (const broadcaster of ["pusher", "reverb"]) {
  test(`Laravel Echo as ${broadcaster}: public, private and presence channels`, async () => {
    const echo = listen(broadcaster, { user_id: "alice" });
    const name = `orders.${broadcaster}`;
    for (const [kind, full] of [["channel", name], ["private", `private-${name}`], ["join", `presence-${name}`]]) {
      const channel = echo[kind](name);
      await within(`${full} is subscribed`, (done) => channel.subscribed(done));
      const heard = within(`an event on ${full}`, (done) => channel.listen("OrderShipped", done));
      await backend.trigger(full, "App\\Events\\OrderShipped", { on: full });
      assert.deepEqual(await heard, { on: full });
    }
    assert.match(echo.socketId(), /^\d+\.\d+$/);
    echo.disconnect();
  });
}

test("Laravel Echo: who is there, who comes, and whispers", async () => {
  const alice = listen("pusher", { user_id: "alice", user_info: { name: "Alice" } });
  const room = alice.join("room");
  const here = within("who is there", (done) => room.here(done));
  assert.deepEqual(await here, [{ name: "Alice" }]);
  const joining = within("who comes", (done) => room.joining(done));
  const bob = listen("pusher", { user_id: "bob", user_info: { name: "Bob" } });
  const his = bob.join("room");
  await within("bob is there", (done) => his.subscribed(done));
  assert.deepEqual(await joining, { name: "Bob" });
  const whispered = within("a whisper", (done) => room.listenForWhisper("typing", done));
  his.whisper("typing", { on: true });
  assert.deepEqual(await whispered, { on: true });
  const leaving = within("who leaves", (done) => room.leaving(done));
  bob.disconnect();
  assert.deepEqual(await leaving, { name: "Bob" });
  alice.disconnect();
});
