import { after, test } from "node:test";
import { closeAll, connect, joins } from "./clients.mjs";

after(closeAll);

test("as many channels as a session may have", async () => {
  const client = await connect();
  await Promise.all(Array.from({ length: 128 }, (_, n) => joins(client, `room-${n}`)));
});
