// The section Console: channels, their messages, and a form to publish.

import { readAddress, writeAddress } from "./address.js";
import { pretty, showDetail } from "./detail.js";
import { advice, byID, clockTime, duration, element, here, hue, initial, named, snippet, update } from "./element.js";
import { Feed, walk } from "./feed.js";
import { oneAtATime } from "./tidegate-link.js";

/** @typedef {import("./tidegate.js").Tidegate} Tidegate */
/** @typedef {import("./tidegate.js").Message} Message */
/** @typedef {import("./tidegate.js").Subscription} Subscription */
/** @typedef {import("./timeline.js").Timeline} Timeline */
/** @typedef {{message: Message, text: string, at: Date, past: boolean, latency?: number, note?: string}} Entry */
/** @typedef {{item: HTMLElement, count: HTMLElement, total: number, since: number, cursor?: string, subscription?: Subscription}} Listed */

const presenceEvery = 5_000;
const keptEntries = 2_000;
const recent = 50; // number of messages from the history to show first

export class MessageView {
  /** @type {Tidegate | null} */
  #tide = null;
  /** @type {Map<string, Listed>} */
  #channels = new Map();
  /** @type {Entry[]} The messages that a filter selects from. */
  #entries = [];
  /** @type {{channel: string, text: string, at: number}[]} Published here and not yet received. */
  #sent = [];
  #selected = "";
  #timeline;
  #arrived = 0;
  #counting = performance.now();

  #feed = new Feed(byID("messages", HTMLOListElement), (entry) => this.#row(entry), { onChange: () => this.#changed() });
  #filter = byID("filter", HTMLInputElement);
  #pause = byID("pause", HTMLButtonElement);
  #payload = byID("payload", HTMLTextAreaElement);
  #publishChannel = byID("publish-channel", HTMLInputElement);

  /** @param {Timeline} timeline records the subscriptions of the channels */
  constructor(timeline) {
    this.#timeline = timeline;
    this.#listen();
    walk(byID("messages-scroll", HTMLElement));
    setInterval(() => this.#showRate(), 1_000);
    setInterval(() => this.#askPresence(), presenceEvery);
  }

  /** Moves to another client, with all channels. @param {Tidegate} tide */
  use(tide) {
    this.#tide = tide;
    for (const [name, listed] of this.#channels) this.#open(name, listed);
  }

  /** Applies the state in the address. */
  show() {
    const { query } = readAddress();
    const names = query.getAll("channel").filter(Boolean);
    for (const name of names) if (!this.#channels.has(name)) this.#list(name);
    this.#filter.value = query.get("filter") ?? this.#filter.value;
    const wanted = query.get("show") ?? this.#selected;
    this.#select(this.#channels.has(wanted) ? wanted : "");
  }

  /** Called when the list becomes visible again. */
  shown() {
    this.#feed.shown();
  }

  #remember() {
    const view = readAddress().query.get("view") ?? "";
    writeAddress("console", { channel: [...this.#channels.keys()], show: this.#selected, filter: this.#filter.value, view });
  }

  /** @param {string} channel or "", for all of them @param {string} text to insert between its messages */
  note(channel, text) {
    this.#add({ message: { ...emptyMessage, channel }, text: "", at: new Date(), past: false, note: text });
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
    this.#filter.addEventListener("input", () => { this.#showAgain(); this.#remember(); });
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
      element("span.swatch", { "data-hue": hue(name) }), element("span.name.mono", { title: name }, named(name)), element("span.hidden.state"), count, element("span.hidden", {}, "messages"));
    const leave = element("button.leave", { type: "button", "aria-label": `Unsubscribe from ${name}`, title: "Unsubscribe", onclick: () => this.#unsubscribe(name) }, "×");
    const item = element("li", { "data-state": "pending" }, choose, leave);
    byID("channels", HTMLUListElement).append(item);
    const listed = { item, count, total: 0, since: Date.now() };
    this.#channels.set(name, listed);
    this.#open(name, listed);
    byID("channels-empty", HTMLElement).hidden = true;
  }

  /** @param {string} name @param {Listed} listed */
  #open(name, listed) {
    if (!this.#tide) return;
    const subscription = this.#tide.subscribe(name, (message) => this.#received(message), { recent, cursor: listed.cursor });
    listed.subscription = subscription;
    subscription.on("subscribed", (subscribed) => {
      if (this.#mark(name, "on")) noteSubscription(`${name}: subscribed`);
      this.#timeline.subscribed(name, subscribed);
      this.#askPresence();
    });
    subscription.on("gap", () => this.#noteGap(name));
    subscription.on("join", () => this.#askPresence());
    subscription.on("leave", () => this.#askPresence());
    subscription.on("presence_changed", () => this.#askPresence());
    subscription.on("error", (error) => {
      this.#mark(name, "refused");
      const problem = `${name}: ${error.code}, ${advice(error)}`;
      noteSubscription(problem, true);
      this.note(name, problem);
    });
  }

  /** @param {string} name @param {"on" | "refused"} state @returns {boolean} whether that is new */
  #mark(name, state) {
    const item = this.#channels.get(name)?.item;
    if (!item || item.dataset.state === state) return false;
    item.dataset.state = state;
    const said = item.querySelector(".state");
    if (said) said.textContent = state === "refused" ? "refused" : "";
    return true;
  }

  /** @param {string} name */
  #unsubscribe(name) {
    const listed = this.#channels.get(name);
    listed?.subscription?.unsubscribe();
    listed?.item.remove();
    byID("channel", HTMLInputElement).focus({ preventScroll: true }); // the button that had the focus is gone
    noteSubscription(`${name}: unsubscribed`);
    this.#channels.delete(name);
    byID("channels-empty", HTMLElement).hidden = this.#channels.size > 0;
    this.#select(this.#selected === name ? "" : this.#selected);
  }

  /** Shows one channel, or all if name is "". @param {string} name */
  #select(name) {
    this.#selected = name;
    for (const [channel, { item }] of this.#channels) item.querySelector(".channel")?.setAttribute("aria-pressed", String(channel === name));
    byID("messages-title", HTMLElement).replaceChildren(name ? named(name) : "All channels");
    byID("presence", HTMLElement).hidden = name === "";
    byID("members", HTMLElement).replaceChildren();
    byID("members-empty", HTMLElement).textContent = "";
    if (name) this.#publishChannel.value = name;
    this.#arrived = 0;
    this.#showAgain();
    this.#askPresence = oneAtATime(() => this.#showPresence(name));
    this.#askPresence();
    this.#remember();
  }

  /** Asks about one channel: the next one does not wait for its answer. */
  #askPresence = oneAtATime(async () => {});

  /** @param {string} channel */
  async #showPresence(channel) {
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
    if (listed) {
      listed.count.textContent = String(++listed.total);
      listed.cursor = message.cursor;
    }
    const past = message.time !== undefined && listed !== undefined && message.time.getTime() < listed.since;
    if (!past && (!this.#selected || message.channel === this.#selected)) this.#arrived++;
    this.#add({ message, text, at: new Date(), past, latency: past ? undefined : this.#latency(message, text) });
  }

  /** Returns the latency of a message: exact for the page's own messages, for others only as good as the clocks. @param {Message} message @param {string} text */
  #latency(message, text) {
    const at = this.#sent.findIndex((sent) => sent.channel === message.channel && sent.text === text);
    if (at >= 0) return performance.now() - this.#sent.splice(at, 1)[0].at;
    const skewed = message.time ? Date.now() - message.time.getTime() : -1;
    return skewed >= 0 && skewed < 60_000 ? skewed : undefined;
  }

  /** @param {string} channel */
  #noteGap(channel) {
    this.#timeline.gap(channel);
    this.note(channel, `${channel}: messages may be missing here`);
  }

  /** @param {Entry} entry */
  #add(entry) {
    this.#entries.push(entry);
    if (this.#entries.length > keptEntries * 1.5) this.#entries.splice(0, this.#entries.length - keptEntries);
    if (this.#isWanted(entry)) this.#feed.add(entry);
  }

  #showEmpty() {
    const isFiltered = this.#filter.value !== "" && this.#entries.some(({ message }) => !this.#selected || message.channel === this.#selected);
    const channel = this.#selected || [...this.#channels.keys()][0] || "chat:lobby";
    byID("empty-lead", HTMLElement).replaceChildren(...(isFiltered ? ["No message matches the filter."] : this.#selected ? ["No messages on ", named(channel), " yet."] : ["No messages yet."]));
    byID("empty-what", HTMLElement).textContent = isFiltered ? "" : this.#channels.size > 0 ? "Publish below or from a shell:" : "Subscribe to a channel, then publish below or from a shell:";
    update(byID("messages-hints", HTMLElement), isFiltered ? [] : hints(channel));
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
  #row({ message, text, at, past, latency, note }) {
    const time = element("time.quiet.numbers", { datetime: (message.time ?? at).toISOString() }, clockTime(message.time ?? at));
    if (note) return element("li.note-row", {}, time, element("span", {}, named(note)));
    const open = () => this.#openMessage(message, text, latency);
    return element(past ? "li.message.past" : "li.message", {}, element("button.line", { type: "button", tabindex: -1, onclick: open },
      time,
      element("span.chip.mono", { "data-hue": hue(message.channel), title: message.channel }, named(message.channel)),
      element("span.payload.mono", {},
        message.user ? element("b.from", {}, named(message.user)) : null,
        message.event ? element("span.event", {}, named(message.event)) : null,
        element("bdi", {}, text)),
      element("span.meta.quiet.numbers", {},
        element("span", { title: "time from publish to arrival" }, latency === undefined ? "\u00a0" : duration(latency)),
        element("span.cursor", { title: message.cursor ? `cursor ${message.cursor}` : "this channel keeps no history" }, message.cursor))));
  }

  /** @param {Message} message @param {string} text @param {number | undefined} latency */
  #openMessage(message, text, latency) {
    const { channel, user, info, event, tags, kind, cursor, time } = message;
    const again = { label: "Publish again", act: () => this.#compose(message) };
    showDetail(channel, [
      ["User", user || "none (backend or anonymous)"], ["Info", info && JSON.stringify(info)], ["Event", event],
      ["Tags", Object.entries(tags).map(([name, value]) => `${name}: ${value}`).join(", ")], ["Kind", kind],
      ["Cursor", cursor || "none (no history)"], ["Published", time ? time.toLocaleString(undefined, { hourCycle: "h23" }) : ""],
      ["Latency", latency === undefined ? "" : duration(latency)],
    ], kind === "json" ? pretty(text) : text, kind === "binary" ? [] : [again]);
  }

  /** Copies a message into the publish form. @param {Message} message */
  #compose({ channel, event, kind, data }) {
    this.#publishChannel.value = channel;
    byID("publish-event", HTMLInputElement).value = event;
    this.#payload.value = kind === "json" ? JSON.stringify(data) : data;
    for (const choice of document.getElementsByName("kind")) if (choice instanceof HTMLInputElement) choice.checked = choice.value === kind;
    this.#payload.focus();
  }

  #changed() {
    const { isEmpty, held, paused, follows } = this.#feed;
    const shows = isEmpty && held === 0;
    byID("messages-empty", HTMLElement).hidden = !shows;
    if (shows) this.#showEmpty();
    byID("latest", HTMLElement).hidden = follows || isEmpty;
    this.#pause.setAttribute("aria-pressed", String(paused));
    this.#pause.textContent = paused ? `Resume${held ? ` (${held})` : ""}` : "Pause";
  }

  #showRate() {
    const seconds = (performance.now() - this.#counting) / 1_000; // timers run less often in a background page
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
      showNote(`Confirmed in ${duration(performance.now() - started)}${this.#channels.has(channel) ? "" : ". You are not subscribed to this channel"}`);
    } catch (error) {
      showNote(publishProblem(/** @type {Error & {code?: string}} */ (error)), true);
    }
  }
}

/** @type {Message} */
const emptyMessage = { channel: "", data: null, kind: "json", tags: {}, event: "", user: "", cursor: "" };

/** How to publish from a shell. @param {string} channel @returns {HTMLElement[]} */
function hints(channel) {
  const path = encodeURIComponent(channel).replaceAll("%3A", ":").replaceAll("%40", "@");
  return [
    snippet(`curl -H 'Content-Type: application/json' -d '{"text":"hi"}' \\\n${shellWord(`${here}/api/channels/${path}/messages`)}`, "curl (if the gateway has rules, add -H 'Authorization: Bearer KEY')"),
    snippet(`redis-cli PUBLISH ${shellWord(`tidegate:${channel}`)} '{"text":"hi"}'`, "redis-cli, if the gateway uses Redis"),
  ];
}

/** @param {string} text @returns {string} the text quoted as one word of a shell */
function shellWord(text) {
  return /^[\w:.@%/-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** @param {Message} message */
function payloadText({ data, kind }) {
  if (kind === "text") return data;
  if (kind === "json") return JSON.stringify(data);
  const shown = [...data.slice(0, 32)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `${shown}${data.length > 32 ? " …" : ""} (${data.length} bytes)`;
}

/** @param {Error & {code?: string}} error */
function publishProblem(error) {
  if (error instanceof SyntaxError) return `This is not JSON (${error.message}). Choose Text to send it as plain text.`;
  return `${error.code ?? "error"}: ${advice(error)}`;
}

/** @param {Error & {code?: string}} error */
function presenceProblem(error) {
  return error.code === "not_found" ? "This channel has no presence." : advice(error);
}

/** Tells a screen reader about a subscription. Failures are visible to everybody. @param {string} text */
function noteSubscription(text, isProblem = false) {
  const note = byID("subscribe-note", HTMLElement);
  note.replaceChildren(named(text));
  note.className = isProblem ? "note problem" : "hidden";
}

/** @param {string} text */
function showNote(text, isProblem = false) {
  const note = byID("publish-note", HTMLElement);
  note.textContent = text;
  note.classList.toggle("problem", isProblem);
}

/** @param {import("./tidegate.js").Member[]} members */
function showMembers(members, problem = "") {
  update(byID("members", HTMLUListElement), members.map(({ user, sessions }) => element("li", {},
    element("span.avatar", { "data-hue": hue(user), "aria-hidden": "true" }, initial(user)),
    user ? element("a", { href: `#cluster?${new URLSearchParams({ user })}`, title: "Show this user's sessions" }, named(user)) : element("span", {}, "anonymous"),
    sessions > 1 ? element("span.count.numbers", { title: "sessions" }, String(sessions)) : null)));
  byID("members-empty", HTMLElement).textContent = problem || (members.length ? "" : "No users. Users appear here when they connect with a token.");
}

/** @param {string} id @param {() => void} action */
function onSubmit(id, action) {
  byID(id, HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    action();
  });
}
