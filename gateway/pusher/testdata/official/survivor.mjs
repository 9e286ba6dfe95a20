// A client that prints each of its connections, and the numbers that it hears on CHANNEL.
import { joins, make } from "./clients.mjs";

const client = make();
client.connection.bind("connected", () => console.log("connected as", client.connection.socket_id));
const channel = await joins(client, process.env.CHANNEL);
channel.bind("pusher:subscription_succeeded", () => console.log("subscribed again"));
channel.bind("said", ({ number }) => console.log("number", number));
console.log("ready");
