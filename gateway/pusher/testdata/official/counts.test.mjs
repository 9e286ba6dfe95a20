import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeAll, connect, within } from "./clients.mjs";

after(closeAll);

test("how many are subscribed", async () => {
  const channel = (await connect()).subscribe("counted");
  const counted = (count) => within(`a count of ${count}`, (done) =>
    channel.bind("pusher:subscription_count", (data) => data.subscription_count === count && done(data)));
  await counted(1);
  const two = counted(2);
  (await connect()).subscribe("counted");
  await two;
  assert.equal(channel.subscriptionCount, 2);
});
