// A client that says on a channel what comes as lines of its input, and prints what it
// hears there.
import { createInterface } from "node:readline";
import { happens, joins, make } from "./clients.mjs";

const client = make();
await happens(client.connection, "connected");
const channel = await joins(client, process.env.CHANNEL);
channel.bind_global((event, data) => console.log(event, JSON.stringify(data)));
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  channel.trigger("client-said", { text: line });
  console.log("said", line);
}
client.disconnect();
