// The console's own section: channels, their messages, and what to publish.

import { byID, clockTime, duration, element, here, hue, snippet } from "./element.js";
import { Feed } from "./feed.js";

/** @typedef {import("./tidegate.js").Tidegate} Tidegate */
/** @typedef {import("./tidegate.js").Message} Message */
/** @typedef {{message: Message, text: string, at: Date, latency?: number, gap?: boolean, note?: string}} Entry */
/** @typedef {{item: HTMLElement, count: HTMLElement, total: number, subscription: ReturnType<Tidegate["subscribe"]>}} Listed */

const presenceEvery = 5_000;
const keptEntries = 2_000;

export class MessageView {
  /** @type {Tidegate | null} */
  #tide = null;
  /** @type {Map<string, Listed>} */
  #channels = new Map();
  /** @type {Entry[]} What a filter has to choose from. */
  #entries = [];
  /** @type {{channel: string, text: string, at: number}[]} Published here and not back yet. */
  #sent = [];
  #selected = "";
  #gaps = 0;
  #arrived = 0;
  #counting = performance.now();

  #feed = new Feed(byID("messages", HTMLOListElement), (entry) => this.#row(entry), { onChange: () => this.#changed() });
  #filter = byID("filter", HTMLInputElement);
  #pause = byID("pause", HTMLButtonElement);
  #payload = byID("payload", HTMLTextAreaElement);
  #publishChannel = byID("publish-channel", HTMLInputElement);

  constructor() {
    this.#listen();
    byID("messages-hints", HTMLElement).append(
      snippet(`curl -H 'Content-Type: application/json' -d '{"text":"hi"}' \\\n${here}/api/channels/chat:lobby/messages`, "curl"),
      snippet(`redis-cli PUBLISH tidegate:chat:lobby '{"text":"hi"}'`, "redis-cli, when the gateway runs on Redis"),
    );
    setInterval(() => this.#showRate(), 1_000);
    setInterval(() => this.#askPresence(), presenceEvery);
  }

  /** Moves to another client, with all channels. @param {Tidegate} tide */
  use(tide) {
    this.#tide = tide;
    for (const [name, listed] of this.#channels) listed.subscription = this.#open(name);
  }

  /** @param {string} text that stands between the messages */
  note(text) {
    this.#add({ message: emptyMessage, text: "", at: new Date(), note: text });
  }

  #listen() {
    const input = byID("channel", HTMLInputElement);
    onSubmit("subscribe", () => {
      this.#subscribe(input.value.trim());
      input.value = "";
    });
    for (const button of document.querySelectorAll("[data-subscribe]")) {
      button.addEventListener("click", () => this.#subscribe(button.getAttribute("data-subscribe") ?? ""));
    }
    onSubmit("publish", () => this.#publish());
    this.#payload.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byID("publish", HTMLFormElement).requestSubmit();
    });
    this.#filter.addEventListener("input", () => this.#showAgain());
    this.#pause.addEventListener("click", () => {
      this.#feed.paused = !this.#feed.paused;
      this.#changed();
    });
    byID("clear", HTMLButtonElement).addEventListener("click", () => {
      this.#entries = [];
      this.#feed.clear();
    });
    byID("latest", HTMLButtonElement).addEventListener("click", () => this.#feed.follow());
  }

  // Channels

  /** @param {string} name */
  #subscribe(name) {
    if (!name) return;
    if (!this.#channels.has(name)) this.#list(name);
    this.#select(name);
    this.#publishChannel.value = name;
  }

  /** @param {string} name */
  #list(name) {
    const count = element("span.count.numbers", {}, "0");
    const choose = element("button.channel", { type: "button", "aria-pressed": "false", onclick: () => this.#select(this.#selected === name ? "" : name) },
      element("span.swatch", { "data-hue": hue(name) }), element("span.name.mono", {}, name), count);
    const leave = element("button.leave", { type: "button", "aria-label": `Unsubscribe ${name}`, title: "Unsubscribe", onclick: () => this.#unsubscribe(name) }, "×");
    const item = element("li", { "data-state": "pending" }, choose, leave);
    byID("channels", HTMLUListElement).append(item);
    this.#channels.set(name, { item, count, total: 0, subscription: /** @type {any} */ (null) });
    /** @type {Listed} */ (this.#channels.get(name)).subscription = this.#open(name);
    byID("channels-empty", HTMLElement).hidden = true;
  }

  /** @param {string} name */
  #open(name) {
    const subscription = /** @type {Tidegate} */ (this.#tide).subscribe(name, (message) => this.#received(message));
    subscription.on("subscribed", () => { this.#mark(name, "on"); this.#askPresence(); });
    subscription.on("gap", () => this.#noteGap(name));
    subscription.on("join", () => this.#askPresence());
    subscription.on("leave", () => this.#askPresence());
    subscription.on("error", (error) => {
      this.#mark(name, "refused");
      this.note(`${name}: ${error.code}, ${error.message}`);
    });
    return subscription;
  }

  /** @param {string} name @param {string} state */
  #mark(name, state) {
    const listed = this.#channels.get(name);
    if (listed) listed.item.dataset.state = state;
  }

  /** @param {string} name */
  #unsubscribe(name) {
    const listed = this.#channels.get(name);
    listed?.subscription.unsubscribe();
    listed?.item.remove();
    this.#channels.delete(name);
    byID("channels-empty", HTMLElement).hidden = this.#channels.size > 0;
    if (this.#selected === name) this.#select("");
  }

  /** Shows one channel, or all. @param {string} name */
  #select(name) {
    this.#selected = name;
    for (const [channel, { item }] of this.#channels) item.querySelector(".channel")?.setAttribute("aria-pressed", String(channel === name));
    byID("messages-title", HTMLElement).textContent = name || "Messages";
    byID("presence", HTMLElement).hidden = name === "";
    byID("members", HTMLElement).replaceChildren();
    byID("members-empty", HTMLElement).textContent = "";
    if (name) this.#publishChannel.value = name;
    this.#arrived = 0;
    this.#showAgain();
    this.#askPresence();
  }

  async #askPresence() {
    const channel = this.#selected;
    if (!channel || document.hidden || this.#tide?.status.state !== "connected") return;
    try {
      const members = await this.#tide.presence(channel);
      if (channel === this.#selected) showMembers(members);
    } catch (error) {
      if (channel === this.#selected) showMembers([], presenceProblem(/** @type {Error & {code?: string}} */ (error)));
    }
  }

  // Messages

  /** @param {Message} message */
  #received(message) {
    const text = payloadText(message);
    const listed = this.#channels.get(message.channel);
    if (listed) listed.count.textContent = String(++listed.total);
    if (!this.#selected || message.channel === this.#selected) this.#arrived++;
    this.#add({ message, text, at: new Date(), latency: this.#latency(message, text) });
  }

  /** Of one's own messages it is exact, of others' as good as the clocks. @param {Message} message @param {string} text */
  #latency(message, text) {
    const at = this.#sent.findIndex((sent) => sent.channel === message.channel && sent.text === text);
    if (at >= 0) return performance.now() - this.#sent.splice(at, 1)[0].at;
    const skewed = message.time ? Date.now() - message.time.getTime() : -1;
    return skewed >= 0 && skewed < 60_000 ? skewed : undefined;
  }

  /** @param {string} channel */
  #noteGap(channel) {
    byID("fact-gaps", HTMLElement).textContent = String(++this.#gaps);
    this.#add({ message: { ...emptyMessage, channel }, text: "", at: new Date(), note: `${channel}: messages may have been missed here` });
  }

  /** @param {Entry} entry */
  #add(entry) {
    this.#entries.push(entry);
    if (this.#entries.length > keptEntries * 1.5) this.#entries.splice(0, this.#entries.length - keptEntries);
    if (this.#isWanted(entry)) this.#feed.add(entry);
  }

  /** @param {Entry} entry */
  #isWanted({ message, text, note }) {
    if (note && !message.channel) return true;
    if (this.#selected && message.channel !== this.#selected) return false;
    const wanted = this.#filter.value.toLowerCase();
    return !wanted || `${message.channel} ${message.user} ${message.event} ${text}`.toLowerCase().includes(wanted);
  }

  #showAgain() {
    this.#feed.clear();
    for (const entry of this.#entries) if (this.#isWanted(entry)) this.#feed.add(entry);
  }

  /** @param {Entry} entry */
  #row({ message, text, at, latency, note }) {
    const time = element("time.quiet.numbers", { datetime: at.toISOString() }, clockTime(message.time ?? at));
    if (note) return element("li.note-row", {}, time, element("span", {}, note));
    return element("li.message", {},
      time,
      element("span.chip.mono", { "data-hue": hue(message.channel), title: message.channel }, message.channel),
      element("span.payload.mono", {},
        message.user ? element("b.from", {}, message.user) : null,
        message.event ? element("span.event", {}, message.event) : null,
        text),
      element("span.meta.quiet.numbers", {},
        element("span", { title: "from publish to arrival" }, latency === undefined ? "" : duration(latency)),
        element("span.cursor", { title: message.cursor ? `cursor ${message.cursor}` : "no history here" }, message.cursor)));
  }

  #changed() {
    const { isEmpty, held, paused, follows } = this.#feed;
    byID("messages-empty", HTMLElement).hidden = !isEmpty || held > 0;
    byID("latest", HTMLElement).hidden = follows || isEmpty;
    this.#pause.setAttribute("aria-pressed", String(paused));
    this.#pause.textContent = paused ? `Resume${held ? ` (${held})` : ""}` : "Pause";
  }

  #showRate() {
    const seconds = (performance.now() - this.#counting) / 1_000; // a page in the background is called more seldom
    byID("rate", HTMLElement).textContent = this.#arrived ? `${Math.round(this.#arrived / seconds)}/s` : "";
    this.#arrived = 0;
    this.#counting = performance.now();
  }

  // Publishing

  async #publish() {
    const channel = this.#publishChannel.value.trim();
    const kind = /** @type {"json" | "text"} */ (new FormData(byID("publish", HTMLFormElement)).get("kind"));
    const event = byID("publish-event", HTMLInputElement).value.trim() || undefined;
    try {
      const data = kind === "json" ? JSON.parse(this.#payload.value) : this.#payload.value;
      this.#sent = [...this.#sent.slice(-50), { channel, text: kind === "json" ? JSON.stringify(data) : data, at: performance.now() }];
      const started = performance.now();
      await this.#tide?.publish(channel, data, { event, kind });
      showNote(`Confirmed in ${duration(performance.now() - started)}${this.#channels.has(channel) ? "" : ". You are not subscribed to it"}`);
    } catch (error) {
      showNote(publishProblem(/** @type {Error & {code?: string}} */ (error)), true);
    }
  }
}

/** @type {Message} */
const emptyMessage = { channel: "", data: null, kind: "json", event: "", user: "", cursor: "" };

/** @param {Message} message */
function payloadText({ data, kind }) {
  if (kind === "text") return data;
  if (kind === "json") return JSON.stringify(data);
  const shown = [...data.slice(0, 32)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `${shown}${data.length > 32 ? " …" : ""} (${data.length} bytes)`;
}

/** @param {Error & {code?: string}} error */
function publishProblem(error) {
  if (error instanceof SyntaxError) return `That is not JSON (${error.message}). Choose Text to send it as it is.`;
  return `${error.code ?? "error"}: ${error.message}`;
}

/** @param {Error & {code?: string}} error */
function presenceProblem(error) {
  return error.code === "not_found" ? "This channel keeps no presence." : error.message;
}

/** @param {string} text */
function showNote(text, isProblem = false) {
  const note = byID("publish-note", HTMLElement);
  note.textContent = text;
  note.classList.toggle("problem", isProblem);
}

/** @param {import("./tidegate.js").Member[]} members */
function showMembers(members, problem = "") {
  byID("members", HTMLUListElement).replaceChildren(...members.map(({ user, sessions }) => element("li", {},
    element("span.avatar", { "data-hue": hue(user), "aria-hidden": "true" }, (user || "?").slice(0, 1).toUpperCase()),
    element("span", {}, user || "anonymous"),
    sessions > 1 ? element("span.count.numbers", { title: "sessions" }, String(sessions)) : null)));
  byID("members-empty", HTMLElement).textContent = problem || (members.length ? "" : "Nobody with a name. Users appear here when they connect with a token.");
}

/** @param {string} id @param {() => void} action */
function onSubmit(id, action) {
  byID(id, HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    action();
  });
}
