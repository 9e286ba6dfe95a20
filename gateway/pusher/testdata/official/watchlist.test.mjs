import assert from "node:assert/strict";
import { after, test } from "node:test";
import { backend, closeAll, connect, happens, joins, within } from "./clients.mjs";

after(closeAll);

async function signIn(id, watchlist) {
  const client = await connect({ id, watchlist });
  client.changes = [];
  for (const name of ["online", "offline"]) {
    client.user.watchlist.bind(name, (event) => {
      assert.equal(event.name, name);
      event.user_ids.forEach((user) => client.changes.push(`${user} ${name}`));
      client.connection.emit("watched");
    });
  }
  client.signin();
  await client.user.signinDonePromise;
  return client;
}

const told = (client, count) => within(`change ${count}, after ${client.changes}`, (done) => {
  const look = () => client.changes.length >= count && done();
  client.connection.bind("watched", look);
  look();
});

// Each connection is on another one of two nodes than the one before.
test("a watchlist: how things stand, then each change, once", async () => {
  const alice = await signIn("alice", ["bob", "carol", "alice"]);
  await told(alice, 2);
  assert.deepEqual(alice.changes.toSorted(), ["bob offline", "carol offline"]);

  const first = await signIn("bob");
  await told(alice, 3);
  const [second, third] = [await signIn("bob"), await signIn("bob", ["alice"])];
  await told(third, 1);
  assert.deepEqual(third.changes, ["alice online"]);
  first.disconnect();
  second.disconnect();

  const carol = await signIn("carol", ["bob", "nobody"]);
  await told(alice, 4);
  await told(carol, 2);
  assert.deepEqual(carol.changes.toSorted(), ["bob online", "nobody offline"]);
  third.disconnect();
  await Promise.all([told(alice, 5), told(carol, 3)]);
  await signIn("bob");
  await Promise.all([told(alice, 6), told(carol, 4)]);
  assert.deepEqual(alice.changes.slice(2), ["bob online", "carol online", "bob offline", "bob online"]);
  assert.deepEqual(carol.changes.slice(2), ["bob offline", "bob online"]);
});

test("who only watches, or is only on a channel, is not online by that", async () => {
  const watcher = await signIn("dora", ["erik"]);
  await told(watcher, 1);
  await signIn("fred", ["erik"]);
  await joins(await connect({ user_id: "erik" }), "presence-x");
  const heard = happens(watcher.user, "last");
  await backend.sendToUser("dora", "last", {});
  await heard;
  assert.deepEqual(watcher.changes, ["erik offline"]);
});
