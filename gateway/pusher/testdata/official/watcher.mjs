// A client that signs in as USER, and prints who of WATCHLIST is online, or not.
import { make } from "./clients.mjs";

const client = make({ id: process.env.USER, watchlist: process.env.WATCHLIST.split(",") });
for (const name of ["online", "offline"]) {
  client.user.watchlist.bind(name, ({ user_ids }) => user_ids.forEach((user) => console.log(user, name)));
}
client.signin();
await client.user.signinDonePromise;
console.log("ready");
