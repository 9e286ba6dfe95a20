// Compiled by the test, never run: what the types allow, and what they do not.

import { Tidegate, TidegateError, type History, type Member, type Message } from "tidegate";
import { useChannel, usePresence, useStatus } from "tidegate/react";
import { shareTidegate } from "tidegate/shared";

interface Said { text: string }

const tide = new Tidegate("https://live.example.com", { token: async () => "a token", maxQueued: 10, transports: ["websocket", "sse"] });
// @ts-expect-error there is no such option
new Tidegate("https://live.example.com", { maxQueue: 10 });
// @ts-expect-error there is no such transport
new Tidegate("https://live.example.com", { transports: ["carrier pigeon"] });

const room = tide.subscribe<Said>("chat:lobby", (message) => {
  const text: string = message.data.text;
  const time: Date | undefined = message.time;
  // @ts-expect-error that is not in the payload
  message.data.nothing;
  console.log(text, time);
}, { recent: 20 });
room.on("message", (message: Message<Said>) => console.log(message.cursor));
room.on("subscribed", ({ recovered, cursor }) => { const whether: boolean = recovered; console.log(whether, cursor); });
room.on("join", ({ user }) => { const name: string = user; console.log(name); });
room.on("error", (error) => { const code: string = error.code; console.log(code, error instanceof TidegateError); });
// @ts-expect-error there is no such event
room.on("mesage", () => {});
const published: Promise<{ cursor: string }> = room.publish({ text: "hi" }, { key: "once" });
// @ts-expect-error that is not the payload
room.publish({ words: "hi" });
const history: Promise<History<Said>> = room.history({ limit: 5 });
const members: Promise<Member[]> = tide.presence("chat:lobby");

const stop: () => void = tide.on("state", ({ state, retryIn }) => {
  const one: "connecting" | "connected" | "waiting" | "closed" = state;
  console.log(one, retryIn.toFixed());
});
// @ts-expect-error only a subscription tells of gaps
tide.on("gap", () => {});

export function Room() {
  const { messages, publish, error } = useChannel<Said>(tide, "chat:lobby", { recent: 5 });
  const texts: string[] = messages.map(({ data }) => data.text);
  // @ts-expect-error that is not the payload
  publish({ words: "hi" });
  const users: string[] = usePresence(tide, "chat:lobby").members.map(({ user }) => user);
  return `${texts} ${users} ${useStatus(tide).state} ${error?.code}`;
}

const shared = shareTidegate("https://live.example.com", { name: "alice" });
shared.subscribe<Said>("chat:lobby", ({ data }) => console.log(data.text));
shared.on("state", ({ transport }) => { const name: string = transport; console.log(name); });
shared.on("error", ({ code }) => console.log(code, shared.status.state));
// @ts-expect-error a shared client tells of messages only by its subscriptions
shared.on("message", () => {});
export const useLater = (later: Tidegate | null) => useStatus(later).state;
export const useShared = () => useChannel<Said>(shared, "chat:lobby").messages;
export { history, members, published, stop };
