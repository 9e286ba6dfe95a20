// The section Examples: each is a small program on one client, shown with its code.

import { Tidegate } from "./tidegate.js";
import { advice, clockTime, duration, element, here, hue, initial, named, snippet } from "./element.js";
import { Feed } from "./feed.js";
import { oneAtATime } from "./tidegate-link.js";

/** @typedef {{tide: Tidegate, stage: HTMLElement, done: (undo: () => void) => void}} Scene */
/** @typedef {{title: string, about: string, code: string, shell: [string, string][], play: (scene: Scene) => void}} Example */

const at = here === "http://127.0.0.1:8080" ? "" : ` --url ${here.replace(/^http/, "ws")}/ws`;

/**
 * Builds an example into the page and runs it until the returned function is called.
 * @param {HTMLElement} into @param {string} name @param {Tidegate} tide @returns {() => void}
 */
export function openExample(into, name, tide) {
  const example = examples.get(name) ?? /** @type {Example} */ (examples.get("chat"));
  /** @type {(() => void)[]} */
  const undo = [];
  const stage = element("div.card.stage");
  into.replaceChildren(
    element("header", {}, element("h2", {}, example.title), element("p.quiet", {}, example.about)),
    stage,
    element("aside.code", { "aria-label": "Code" },
      snippet(example.code, "In the browser"),
      ...example.shell.map(([title, command]) => snippet(command, title))),
  );
  example.play({ tide, stage, done: (action) => undo.push(action) });
  return () => undo.forEach((action) => action());
}

/** @type {Map<string, Example>} */
const examples = new Map(Object.entries({
  chat: {
    title: "Chat",
    about: "Each room is a separate channel. Open this page in two tabs to chat with yourself.",
    code: `import { Tidegate } from "${here}/tidegate.js";

const tide = new Tidegate("${here}");

// The last 50 messages first, then live ones: none missing, none twice.
const room = tide.subscribe("chat:lobby", show, { recent: 50 });

await room.publish({ name: "Ada", text: "Hello" });
room.on("join", ({ user }) => welcome(user));
await room.presence();   // [{ user, sessions }]`,
    shell: [
      ["Send a message from a shell", `curl -H 'Content-Type: application/json' \\
  -d '{"name":"curl","text":"Hello from a shell"}' \\
${here}/api/channels/chat:lobby/messages`],
      ["Or with any Redis client", `redis-cli PUBLISH tidegate:chat:lobby '{"name":"redis","text":"Hello from Redis"}'`],
    ],
    play: playChat,
  },
  clock: {
    title: "Clock",
    about: "The server publishes the time once a second. Every browser receives the same tick, whatever node it is connected to.",
    code: `import { Tidegate } from "${here}/tidegate.js";

const tide = new Tidegate("${here}");
tide.subscribe("clock", ({ data }) => {
  document.querySelector("#clock").textContent = data.time;
});`,
    shell: [
      ["Publish the time with curl", `while sleep 1; do
  curl -s -H 'Content-Type: application/json' \\
    -d "{\\"time\\":\\"$(date -Iseconds)\\"}" \\
    ${here}/api/channels/clock/messages
done`],
      ["Or with redis-cli", `while sleep 1; do
  redis-cli PUBLISH tidegate:clock "{\\"time\\":\\"$(date -Iseconds)\\"}"
done`],
    ],
    play: playClock,
  },
  user: {
    title: "One user",
    about: "Every user has a personal channel: @ and the user's id. All of the user's tabs and devices are subscribed to it from the start. Nobody else can subscribe, and only backends can publish.",
    code: `import { Tidegate } from "${here}/tidegate.js";

const tide = new Tidegate("${here}", { token: fetchToken });
tide.subscribe("@alice", ({ data }) => notify(data.text));`,
    shell: [
      ["Create a token for alice (development gateway)", "tidegate token --user alice"],
      ["Send a message to alice from your backend (if the gateway has rules, add -H 'Authorization: Bearer KEY')", `curl -H 'Content-Type: application/json' \\
  -d '{"text":"Your order is on its way"}' \\
${here}/api/channels/@alice/messages`],
      ["Or with redis-cli", `redis-cli PUBLISH tidegate:@alice '{"text":"Your order is on its way"}'`],
    ],
    play: playUser,
  },
  log: {
    title: "Live log",
    about: "Shows the lines of a log file as they are written, also when the file is rotated.",
    code: `import { Tidegate } from "${here}/tidegate.js";

const tide = new Tidegate("${here}");
tide.subscribe("logs:demo", ({ data }) => append(data), { recent: 100 });`,
    shell: [
      ["Follow a file", `tidegate tail /var/log/syslog --channel logs:demo${at}`],
      ["Or send one line", `curl -H 'Content-Type: text/plain' \\
  -d 'WARN disk is 91% full' \\
${here}/api/channels/logs:demo/messages`],
    ],
    play: playLog,
  },
  echo: {
    title: "Echo",
    about: "Publishes to a channel that only this page subscribes to, and measures the time until the message comes back through the gateway and its broker.",
    code: `import { Tidegate } from "${here}/tidegate.js";

const tide = new Tidegate("${here}");
const mine = "echo:" + crypto.randomUUID();
tide.subscribe(mine, ({ data }) => {
  console.log(performance.now() - data.sent, "ms");
});
setInterval(() => tide.publish(mine, { sent: performance.now() }), 500);`,
    shell: [["From a shell", `tidegate subscribe echo:me${at} &
tidegate publish echo:me '{"hello":"me"}'${at}`]],
    play: playEcho,
  },
}));

// Chat

const nameless = "Somebody";
const rooms = ["lobby", "kitchen", "harbour"];

/** @param {Scene} scene */
function playChat({ tide, stage, done }) {
  const name = /** @type {HTMLInputElement} */ (element("input", { id: "chat-name", value: tide.status.user || chatName(), maxlength: 40, autocomplete: "nickname", "aria-label": "Your name" }));
  const tabs = element("div.rooms", { role: "group", "aria-label": "Rooms" });
  const body = element("div.room");
  stage.append(element("div.chat-top", {}, tabs, element("label.inline-label", {}, "Your name ", name)), body);
  /** @type {() => void} */
  let leave = () => {};
  const enter = (/** @type {string} */ room) => {
    leave();
    for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(tab.textContent === room));
    leave = enterRoom(tide, body, `chat:${room}`, () => name.value.trim() || nameless);
  };
  tabs.append(...rooms.map((room) => element("button", { type: "button", onclick: () => enter(room) }, room)));
  name.addEventListener("change", () => sessionStorage.setItem("chat-name", name.value));
  enter(rooms[0]);
  done(() => leave());
}

/**
 * Opens a chat room in the page and shows its messages until the returned function is called.
 * @param {Tidegate} tide @param {HTMLElement} body @param {string} channel @param {() => string} name
 */
function enterRoom(tide, body, channel, name) {
  const list = element("ol.talk", { "aria-live": "polite", "aria-label": `Messages in ${channel}` });
  const empty = element("p.empty", {}, "No messages yet. Send the first one.");
  const people = element("ul.members");
  const text = /** @type {HTMLInputElement} */ (element("input", { placeholder: `Message to ${channel.slice(5)}`, maxlength: 2000, autocomplete: "off", "aria-label": "Message" }));
  const form = element("form.row", {}, text, element("button.primary", {}, "Send"));
  const problem = element("p.note.problem", { role: "status" });
  body.replaceChildren(
    element("div.feed", { tabindex: 0, role: "region", "aria-label": "Conversation" }, list, empty),
    element("div.people", {}, element("h3", {}, "In the room"), people),
    element("div.say", {}, form, problem));

  const roster = new Roster(people);
  const talk = new Feed(list, (said) => (said ? saying(said, name()) : missing()), { limit: 300, onChange: () => { empty.hidden = !talk.isEmpty; } });
  const hear = (/** @type {any} */ message) => {
    const said = utterance(message);
    roster.heard(said, message.event);
    if (message.event !== "enter" && message.event !== "exit") talk.add(said);
  };
  const room = tide.subscribe(channel, hear, { recent: 100 });
  let left = false;
  const tell = (/** @type {string} */ event) => tide.publish(channel, { name: name() }, { event }).catch(() => {});
  const askWho = oneAtATime(() => tide.presence(channel).then((members) => roster.present(members), () => {}));
  const leave = () => {
    if (left) return;
    left = true;
    tell("exit");
    removeEventListener("pagehide", leave);
    room.unsubscribe();
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const sentence = text.value.trim();
    if (!sentence) return;
    text.value = "";
    problem.textContent = "";
    try {
      await tide.publish(channel, { name: name(), text: sentence });
    } catch (error) {
      problem.textContent = `Not sent: ${/** @type {Error} */ (error).message}`;
      text.value ||= sentence;
    }
  });
  addEventListener("pagehide", leave);
  room.on("subscribed", askWho);
  room.on("join", askWho);
  room.on("leave", askWho);
  room.on("gap", () => talk.add(null));
  room.on("error", (error) => { problem.textContent = advice(error); });
  tell("enter");
  return leave;
}

/** Who is in a room: users from presence, guests without a token from their own messages. */
class Roster {
  /** @type {Map<string, "user" | "guest">} */
  #people = new Map();
  #list;

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /** @param {import("./tidegate.js").Member[]} members */
  present(members) {
    for (const [name, kind] of this.#people) if (kind === "user") this.#people.delete(name);
    for (const { user } of members) if (user) this.#people.set(user, "user");
    this.#show();
  }

  /** @param {{name: string, user: string}} said @param {string} event */
  heard({ name, user }, event) {
    if (user || name === nameless) return;
    if (event === "exit") this.#people.delete(name);
    else this.#people.set(name, "guest");
    this.#show();
  }

  #show() {
    const names = [...this.#people.keys()].sort().slice(0, 50);
    this.#list.replaceChildren(...names.map((name) => element("li", {},
      element("span.avatar", { "data-hue": hue(name), "aria-hidden": "true" }, initial(name)), element("span", {}, named(name)))));
  }
}

/** @param {import("./tidegate.js").Message} message */
function utterance({ data, user, time }) {
  const text = typeof data === "string" ? data : typeof data?.text === "string" ? data.text : JSON.stringify(data);
  return { name: user || String(data?.name ?? nameless), user, text, time };
}

/** @param {ReturnType<typeof utterance>} said @param {string} self */
function saying({ name, text, time }, self) {
  return element(name === self ? "li.said.own" : "li.said", {},
    element("span.avatar", { "data-hue": hue(name), "aria-hidden": "true" }, initial(name)),
    element("div", {}, element("p.who", {}, element("b", {}, named(name)), time ? element("time.quiet", {}, clockTime(time)) : null), element("p.words", { dir: "auto" }, text)));
}

function missing() {
  return element("li.missing", {}, "Messages may be missing here.");
}

function chatName() {
  const names = ["Ada", "Grace", "Linus", "Edsger", "Barbara", "Ken", "Radia", "Tim"];
  const name = sessionStorage.getItem("chat-name") || `${names[Math.floor(Math.random() * names.length)]} ${Math.floor(Math.random() * 90 + 10)}`;
  sessionStorage.setItem("chat-name", name);
  return name;
}

// Clock

/** @param {Scene} scene */
function playClock({ tide, stage, done }) {
  const face = element("p.clock.numbers", {}, "––:––:––");
  const date = element("p.quiet", {}, " ");
  const ticks = element("p.hint", {}, "");
  const waiting = element("p.hint", { role: "status" }, "Waiting for the first tick…");
  stage.classList.add("centred");
  stage.append(face, date, ticks, waiting);
  const help = () => { waiting.textContent = "No tick has arrived for a while. A development gateway publishes ticks itself. For other gateways, run one of the commands on this page."; };
  let timer = setTimeout(help, 3_500);
  const clock = tide.subscribe("clock", ({ data, cursor }) => {
    const time = new Date(data?.time ?? data);
    if (Number.isNaN(time.getTime())) return;
    face.textContent = clockTime(time);
    date.textContent = time.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
    ticks.textContent = cursor ? `Tick ${cursor.split(":")[1]}, the same for everyone` : "The same for everyone";
    waiting.textContent = "";
    clearTimeout(timer);
    timer = setTimeout(help, 3_500);
  });
  clock.on("error", (error) => {
    clearTimeout(timer);
    waiting.textContent = advice(error);
  });
  done(() => { clearTimeout(timer); clock.unsubscribe(); });
}

// One user

/** @param {Scene} scene */
function playUser({ tide, stage, done }) {
  const token = /** @type {HTMLInputElement} */ (element("input.mono", { id: "user-token", type: "password", autocomplete: "off", spellcheck: "false", placeholder: "eyJ…" }));
  const form = element("form.stack", {}, element("label", { for: "user-token" }, "User's token"), element("div.row", {}, token, element("button.primary", {}, "Connect as this user")));
  const state = element("p.hint", { role: "status" }, "Run the first command on this page and paste its output here. Then run the second command to send a message.");
  const list = element("ol.talk", { "aria-live": "polite", "aria-label": "Messages to this user" });
  const empty = element("p.empty", {}, "Messages to this user appear here.");
  stage.append(form, state, element("div.feed.short", { tabindex: 0, role: "region", "aria-label": "Messages to this user" }, list, empty));
  const inbox = new Feed(list, (said) => saying(said, ""), { limit: 100, onChange: () => { empty.hidden = !inbox.isEmpty; } });
  /** @type {Tidegate | null} */
  let theirs = null;
  const watch = (/** @type {Tidegate} */ client) => {
    if (!client.status.user) return void (state.textContent = "This token has no user.");
    const personal = `@${client.status.user}`;
    state.textContent = `Connected as ${client.status.user}. Listening on ${personal}.`;
    const subscription = client.subscribe(personal, (message) => inbox.add(utterance({ ...message, data: { name: "To you", ...asObject(message.data) } })));
    done(() => subscription.unsubscribe());
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    theirs?.close();
    if (!token.value.trim()) return void (state.textContent = "Paste a token first.");
    const client = theirs = new Tidegate(here, { token: token.value.trim() });
    const stop = client.on("state", ({ state: now }) => { if (now === "connected") { stop(); watch(client); } });
    client.on("error", (error) => { state.textContent = `${error.code}: ${error.message}`; });
  });
  if (tide.status.user) watch(tide);
  done(() => theirs?.close());
}

/** @param {any} data */
function asObject(data) {
  return typeof data === "object" && data && !(data instanceof Uint8Array) ? data : { text: String(data) };
}

// Live log

const levels = /\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|FATAL|CRIT|PANIC)\b/i;

/** @param {Scene} scene */
function playLog({ tide, stage, done }) {
  const channel = /** @type {HTMLInputElement} */ (element("input.mono", { value: "logs:demo", spellcheck: "false", autocomplete: "off", "aria-label": "Channel" }));
  const level = /** @type {HTMLSelectElement} */ (element("select", { "aria-label": "Minimum level" }, ...["All levels", "Warnings", "Errors"].map((name) => element("option", {}, name))));
  const follow = /** @type {HTMLInputElement} */ (element("input", { type: "checkbox", checked: true }));
  const list = element("ol.log.mono", { "aria-label": "Log" });
  const empty = element("p.empty", {}, "No lines yet. Run one of the commands on this page to send some.");
  const scroller = element("div.feed.dark", { tabindex: 0, role: "region", "aria-label": "Log" }, list, empty);
  stage.append(element("div.row.log-top", {}, channel, level, element("label.check", {}, follow, " Follow")), scroller);

  const log = new Feed(list, logLine, { limit: 1_000, onChange: () => { empty.hidden = !log.isEmpty; follow.checked = log.follows; } });
  level.addEventListener("change", () => { list.dataset.least = String(level.selectedIndex); if (log.follows) log.follow(); });
  follow.addEventListener("change", () => (follow.checked ? log.follow() : (log.follows = false)));
  /** @type {ReturnType<Tidegate["subscribe"]> | null} */
  let tail = null;
  const open = () => {
    tail?.unsubscribe();
    log.clear();
    tail = tide.subscribe(channel.value.trim(), (message) => log.add(message), { recent: 100 });
    tail.on("gap", () => log.add({ data: "— lines may be missing here —", event: "" }));
    tail.on("error", (error) => { empty.textContent = advice(error); });
  };
  channel.addEventListener("change", open);
  open();
  done(() => tail?.unsubscribe());
}

/** @param {import("./tidegate.js").Message} message */
function logLine({ data }) {
  const text = typeof data === "string" ? data : data?.line ?? data?.text ?? data?.msg ?? JSON.stringify(data);
  const level = (data?.level ?? levels.exec(text)?.[1] ?? "").toString().toUpperCase();
  return element("li", { "data-level": severity(level) }, String(text));
}

/** @param {string} level */
function severity(level) {
  if (/^(ERR|FATAL|CRIT|PANIC)/.test(level)) return "2";
  if (level.startsWith("WARN")) return "1";
  return /^(TRACE|DEBUG)/.test(level) ? "debug" : "0";
}

// Echo

const shownEchoes = 60;

/** @param {Scene} scene */
function playEcho({ tide, stage, done }) {
  const mine = `echo:${Math.random().toString(36).slice(2, 10)}`;
  const latest = element("p.clock.numbers", {}, "–");
  const bars = element("div.bars", { "aria-hidden": "true" });
  const facts = element("p.quiet.numbers", {}, "Waiting for the first echo…");
  const problem = element("p.note.problem", { role: "status" });
  stage.classList.add("centred");
  stage.append(latest, bars, facts, problem);
  /** @type {number[]} */
  const times = [];
  const echo = tide.subscribe(mine, ({ data }) => {
    times.push(performance.now() - data.sent);
    if (times.length > shownEchoes) times.shift();
    const sorted = [...times].sort((a, b) => a - b);
    latest.textContent = duration(times.at(-1));
    facts.textContent = `median ${duration(sorted[sorted.length >> 1])}, slowest ${duration(sorted.at(-1))} of the last ${times.length}`;
    bars.replaceChildren(...times.map((ms) => bar(ms, sorted.at(-1) ?? 1)));
  });
  echo.on("error", (error) => { problem.textContent = advice(error); });
  const timer = setInterval(() => {
    if (!document.hidden && tide.status.state === "connected") tide.publish(mine, { sent: performance.now() }).catch((error) => { problem.textContent = advice(error); });
  }, 500);
  done(() => { clearInterval(timer); echo.unsubscribe(); });
}

/** @param {number} ms @param {number} most */
function bar(ms, most) {
  const made = element("i");
  made.style.blockSize = `${Math.max(6, (ms / most) * 100)}%`;
  return made;
}
