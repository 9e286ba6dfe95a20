// A client that signs in as USER, and prints who of WATCHLIST is online, or not, and who
// comes to a hall and leaves it.
import { joins, make } from "./clients.mjs";

const id = process.env.USER;
const client = make({ id, user_id: id, watchlist: process.env.WATCHLIST.split(",") });
for (const name of ["online", "offline"]) {
  client.user.watchlist.bind(name, ({ user_ids }) => user_ids.forEach((user) => console.log(user, name)));
}
client.signin();
await client.user.signinDonePromise;
const hall = await joins(client, "presence-hall");
hall.bind("pusher:member_added", (member) => console.log(member.id, "came"));
hall.bind("pusher:member_removed", (member) => console.log(member.id, "left"));
console.log("ready");
