// The history of the connection: when it was lost, on which node it resumed, and which
// messages were recovered.

import { byID, capital, clockTime, element, named } from "./element.js";

/** @typedef {import("./tidegate.js").Tidegate} Tidegate */
/** @typedef {import("./tidegate.js").Status} Status */
/** @typedef {import("./tidegate.js").Subscribed} Subscribed */
/** @typedef {{recovered: number, missing: string[], channels: number, text: HTMLElement, item: HTMLElement}} Resumption */

const kept = 200;
const transports = new Map([["websocket", "WebSocket"], ["sse", "Server-Sent Events"], ["longpoll", "long-poll"]]);

/** @param {string} transport */
export const transportName = (transport) => transports.get(transport) ?? transport;

export class Timeline {
  #list = byID("timeline", HTMLOListElement);
  /** @type {Status | null} The last one shown. */
  #last = null;
  /** @type {Status | null} The last one that was connected. */
  #connected = null;
  #isAway = false; // true after a connection was lost
  #node = ""; // the last known node
  /** @type {{attempts: number, text: HTMLElement} | null} Consecutive failed attempts. */
  #failing = null;
  /** @type {Resumption | null} */
  #resumption = null;
  #recovered = 0;
  #gaps = 0;

  /** @param {Tidegate} tide */
  use(tide) {
    this.#last = this.#connected = this.#failing = this.#resumption = null;
    this.#isAway = false;
    this.#node = "";
    this.#note(tide.status);
  }

  /** @param {Status} status */
  state(status) {
    const last = this.#last;
    if (last && last.state === status.state && last.session === status.session && last.reason === status.reason && last.transport === status.transport) return;
    this.#note(status);
  }

  /** @param {string} channel @param {Subscribed} subscribed */
  subscribed(channel, { recovered, cursor, from }) {
    if (!from && recovered) return;
    const resumption = this.#resumption ?? (this.#resumption = this.#begin());
    resumption.channels++;
    if (recovered) resumption.recovered += between(from, cursor);
    else resumption.missing.push(channel);
    this.#recovered += recovered ? between(from, cursor) : 0;
    this.#describe(resumption);
    byID("fact-recovered", HTMLElement).textContent = String(this.#recovered);
  }

  /** @param {string} channel */
  gap(channel) {
    byID("fact-gaps", HTMLElement).textContent = String(++this.#gaps);
    if (!this.#resumption?.missing.includes(channel)) this.#add("bad", "Messages may be missing", element("span", {}, "on ", named(channel)));
  }

  /** @param {string} text */
  problem(text) {
    this.#add("bad", text);
  }

  /** @param {Status} status */
  #note(status) {
    const { state, transport, node, reason, retryIn } = status;
    const where = element("span", {}, node ? named(node) : null, `${node ? " over" : "Over"} ${transportName(transport)}`);
    const before = this.#connected;
    const isFirst = before !== null && !this.#isAway;
    this.#isAway = state === "waiting" || (this.#isAway && state === "connecting");
    this.#last = status;
    if (state !== "waiting" && state !== "connecting") this.#failing = null;
    if (state === "connecting" && !before && !this.#isAway) {
      this.#add("quiet", "Connecting");
    } else if (state === "connected") {
      this.#resumption = null;
      this.#connected = status;
      if (!before) this.#add("good", "Connected", where);
      else this.#add("good", node && this.#node && node !== this.#node ? "Reconnected to another node" : "Reconnected", where);
      this.#node = node || this.#node;
    } else if (state === "waiting") {
      const next = `${(retryIn / 1_000).toFixed(1)} s`;
      if (isFirst) this.#add("warn", "Connection lost", `${reason && `${capital(reason)}. `}Next attempt in ${next}`);
      else this.#fail(reason, next);
    } else if (state === "closed") {
      this.#add("bad", "Disconnected", capital(reason));
    }
  }

  /** Shows consecutive failed attempts as one line, since an outage may be long. @param {string} reason @param {string} next */
  #fail(reason, next) {
    const failing = this.#failing ?? (this.#failing = { attempts: 0, text: element("span") });
    if (++failing.attempts === 1) this.#add("warn", "No connection", failing.text);
    const tried = failing.attempts === 1 ? "1 attempt" : `${failing.attempts} attempts`;
    failing.text.textContent = `${reason && `${capital(reason)}. `}${tried}, next in ${next}`;
  }

  /** @returns {Resumption} */
  #begin() {
    const text = element("span");
    return { recovered: 0, missing: [], channels: 0, text, item: this.#add("good", "Resumed", text) };
  }

  /** @param {Resumption} resumption */
  #describe({ recovered, missing, channels, text, item }) {
    const on = `${channels} ${channels === 1 ? "channel" : "channels"}: ${recovered} recovered, `;
    item.dataset.tone = missing.length ? "bad" : "good";
    text.replaceChildren(on, missing.length ? element("span", {}, "some may be lost on ", named(missing.join(", "))) : "0 lost");
  }

  /** @param {string} tone @param {string} title @param {string | Node} [detail] */
  #add(tone, title, detail = "") {
    const now = new Date();
    const item = element("li", { "data-tone": tone },
      element("time.quiet.numbers", { datetime: now.toISOString() }, clockTime(now)),
      element("div", {}, element("b", {}, title), element("p.quiet", {}, detail)));
    this.#list.prepend(item);
    while (this.#list.childElementCount > kept) this.#list.lastElementChild?.remove();
    return item;
  }
}

/** Returns the number of messages between two cursors of one history. @param {string} from @param {string} to */
function between(from, to) {
  const [epoch, first] = from.split(":");
  const [same, last] = to.split(":");
  return epoch === same ? Math.max(0, Number(last) - Number(first)) : 0;
}
