// What became of the connection: what was lost, where it went on, and what of the
// messages meanwhile was recovered.

import { byID, clockTime, element, named } from "./element.js";

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
  #isAway = false; // since a connection was lost
  /** @type {Resumption | null} */
  #resumption = null;
  #recovered = 0;
  #gaps = 0;

  /** @param {Tidegate} tide */
  use(tide) {
    this.#last = this.#connected = this.#resumption = null;
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
    const where = element("span", {}, named(node || "a node"), ` by ${transportName(transport)}`);
    const before = this.#connected;
    const isFirst = before !== null && !this.#isAway;
    this.#isAway = state === "waiting" || (this.#isAway && state === "connecting");
    this.#last = status;
    if (state === "connecting" && !before) {
      this.#add("quiet", "Connecting");
    } else if (state === "connected") {
      this.#resumption = null;
      this.#connected = status;
      if (!before) this.#add("good", "Connected", where);
      else if (before.node && before.node === node) this.#add("good", "Connected again", where);
      else this.#add("good", "Connected again, on another node", where);
    } else if (state === "waiting") {
      this.#add("warn", isFirst ? "Connection lost" : "No connection", `${reason ? `${reason}. ` : ""}Next attempt in ${(retryIn / 1_000).toFixed(1)} s`);
    } else if (state === "closed") {
      this.#add("bad", "Closed", reason);
    }
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

/** How many messages lie between two cursors of one history. @param {string} from @param {string} to */
function between(from, to) {
  const [epoch, first] = from.split(":");
  const [same, last] = to.split(":");
  return epoch === same ? Math.max(0, Number(last) - Number(first)) : 0;
}
