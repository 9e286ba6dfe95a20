// The section Cluster: nodes, channels, and the sessions of a user. The gateway answers only
// backends, but a development gateway answers anybody.

import { readAddress, writeAddress } from "./address.js";
import { ask } from "./ask.js";
import { byID, element, here, named, update } from "./element.js";

/** @typedef {{node: string, sessions: number, version: string, since: number}} Alive */
/** @typedef {{channel: string, sessions: number, users: number, messages: number}} ChannelRow */
/** @typedef {{session: string, node: string, transport: string, protocol: string, channels: string[], since: number}} SessionRow */

const every = 5_000;
const most = 200; // rows

export class ClusterView {
  #key = byID("key", HTMLInputElement); // in memory only
  #match = byID("match", HTMLInputElement);
  #user = byID("user", HTMLInputElement);
  #base = `${here}/`;
  #shows = false;
  #refused = false; // until the user enters a key
  #node = "";
  /** @type {Map<string, number>} The message count of each channel in the last answer. */
  #had = new Map();
  #asked = 0; // when the counts were last asked for, in ms

  constructor() {
    const again = (/** @type {Event} */ event) => { event.preventDefault(); this.#remember(); this.#refresh(); };
    byID("key-form", HTMLFormElement).addEventListener("submit", again);
    byID("match-form", HTMLFormElement).addEventListener("submit", again);
    byID("user-form", HTMLFormElement).addEventListener("submit", again);
    byID("send-away", HTMLButtonElement).addEventListener("click", () => this.#disconnect());
    setInterval(() => { if (this.#shows && !this.#refused && !document.hidden) this.#refresh(); }, every);
  }

  /** @param {string} base the gateway's URL @param {string} node that the page's session is on */
  use(base, node) {
    this.#base = base.endsWith("/") ? base : `${base}/`;
    if (node === this.#node) return;
    this.#node = node;
    if (this.#shows && !this.#refused) this.#refresh(); // it marks the node of this page
  }

  /** @param {boolean} shows */
  show(shows) {
    this.#shows = shows;
    if (!shows) return;
    const { query } = readAddress();
    this.#match.value = query.get("match") ?? this.#match.value;
    this.#user.value = query.get("user") ?? this.#user.value;
    this.#remember();
    this.#refresh();
  }

  #remember() {
    writeAddress("cluster", { match: this.#match.value.trim(), user: this.#user.value.trim() });
  }

  async #refresh() {
    const user = this.#user.value.trim();
    const match = encodeURIComponent(this.#match.value.trim() || "*");
    try {
      const [{ nodes }, { channels }] = await Promise.all([this.#ask("GET", "nodes"), this.#ask("GET", `channels?match=${match}`)]);
      this.#showNodes(nodes);
      this.#showChannels(channels);
      if (user) showSessions((await this.#ask("GET", `users/${encodeURIComponent(user)}/sessions`)).sessions);
      else showSessions([]);
      this.#refused = false;
      tell("");
    } catch (error) {
      const { code, message } = /** @type {Error & {code?: string}} */ (error);
      this.#refused = code === "unauthenticated" || code === "forbidden";
      tell(this.#refused && !this.#key.value ? "Enter an API key of this gateway (setting auth.api_keys) to see the cluster." : message);
    }
  }

  async #disconnect() {
    const user = this.#user.value.trim();
    if (!user || !confirm(`Disconnect all sessions of ${user}, on every node?`)) return;
    try {
      const { sessions } = await this.#ask("DELETE", `users/${encodeURIComponent(user)}/sessions`);
      byID("sessions-note", HTMLElement).textContent = `Disconnected: ${sessions}`;
      this.#refresh();
    } catch (error) {
      byID("sessions-note", HTMLElement).textContent = /** @type {Error} */ (error).message;
    }
  }

  /** @param {string} method @param {string} path @returns {Promise<any>} */
  #ask(method, path) {
    const key = this.#key.value.trim();
    return ask(new URL(`api/${path}`, this.#base), { method, cache: "no-store", headers: key ? { Authorization: `Bearer ${key}` } : {} });
  }

  /** @param {Alive[]} nodes */
  #showNodes(nodes) {
    byID("nodes-count", HTMLElement).textContent = String(nodes.length);
    byID("sessions-count", HTMLElement).textContent = String(nodes.reduce((sum, { sessions }) => sum + sessions, 0));
    fill("nodes", nodes.map(({ node, sessions, version, since }) => [
      element("span", {}, named(node), node === this.#node ? element("span.tag", {}, "you are here") : null),
      String(sessions), version, ago(since)]));
  }

  /** @param {ChannelRow[]} channels */
  #showChannels(channels) {
    const rates = this.#rates(channels);
    channels.sort((a, b) => b.sessions - a.sessions);
    byID("channels-count", HTMLElement).textContent = String(channels.length);
    byID("channels-note", HTMLElement).textContent = channels.length > most ? `The ${most} channels with the most sessions, of ${channels.length}. Narrow the pattern to see others.` : "";
    fill("cluster-channels", channels.slice(0, most).map(({ channel, sessions, users, messages }) => [
      element("a.mono", { href: `#console?${new URLSearchParams({ channel, show: channel })}` }, named(channel)),
      String(sessions), String(users), String(messages), rates.get(channel) ?? "–"]));
  }

  /** @param {ChannelRow[]} channels @returns {Map<string, string>} the rate of each channel since the last answer, if known */
  #rates(channels) {
    const now = performance.now(), seconds = (now - this.#asked) / 1_000, before = this.#had;
    this.#asked = now;
    this.#had = new Map(channels.map(({ channel, messages }) => [channel, messages]));
    const known = channels.filter(({ channel, messages }) => messages >= (before.get(channel) ?? Infinity));
    return new Map(known.map(({ channel, messages }) => [channel, perSecond((messages - (before.get(channel) ?? 0)) / seconds)]));
  }
}

/** @param {SessionRow[]} sessions */
function showSessions(sessions) {
  byID("send-away", HTMLButtonElement).hidden = sessions.length === 0;
  fill("user-sessions", sessions.map(({ session, node, transport, protocol, channels, since }) => [
    element("span.mono", {}, session), named(node), `${transport}, ${protocol}`, element("span.mono", {}, named(channels.join(", "))), ago(since)]));
}

/** @param {string} id of a table @param {(string | Node)[][]} rows */
function fill(id, rows) {
  const table = byID(id, HTMLTableElement);
  const headings = [...table.querySelectorAll("th")].map((heading) => heading.textContent ?? "");
  const body = table.tBodies[0];
  while (body.rows.length < rows.length) body.insertRow();
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, row) => update(body.rows[row], cells.map((cell, at) => element("td", { "data-label": headings[at] }, /** @type {any} */ (cell)))));
  table.hidden = rows.length === 0;
  const empty = table.parentElement?.querySelector(".hint");
  if (!(empty instanceof HTMLElement)) return;
  empty.hidden = rows.length > 0;
  empty.textContent = empty.dataset.none ?? "";
}

/** @param {string} problem */
function tell(problem) {
  const note = byID("cluster-note", HTMLElement);
  if (note.textContent !== problem) note.textContent = problem;
  byID("view-cluster", HTMLElement).classList.toggle("stale", problem !== "");
}

/** @param {number} rate */
function perSecond(rate) {
  return `${rate === 0 || rate >= 10 ? Math.round(rate) : rate.toFixed(1)}/s`;
}

/** @param {number} since ms */
function ago(since) {
  const seconds = Math.max(0, Math.round((Date.now() - since) / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}
