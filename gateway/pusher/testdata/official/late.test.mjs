import { after, test } from "node:test";
import { closeAll, connect, joins } from "./clients.mjs";

after(closeAll);

test("a channel that cannot be subscribed to at first", async () => {
  const client = await connect();
  await joins(client, "early");
  await joins(client, "late");
});
