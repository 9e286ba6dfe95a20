// The section Tools, for development: makes tokens, and shows what rules allow. Only a
// development gateway supports it.

import { readAddress, writeAddress } from "./address.js";
import { ask } from "./ask.js";
import { byID, copy, element, here, named } from "./element.js";

/** @typedef {{allowed: boolean, code?: string, why: string}} Verdict */
/** @typedef {{subscribe: Verdict, publish: Verdict, presence: Verdict, history: Verdict}} Judgement */

const typingPause = 250; // ms
const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);

export class Tools {
  #user = byID("tool-user", HTMLInputElement);
  #subscribe = byID("tool-subscribe", HTMLInputElement);
  #publish = byID("tool-publish", HTMLInputElement);
  #info = byID("tool-info", HTMLInputElement);
  #ttl = byID("tool-ttl", HTMLSelectElement);
  #channel = byID("tool-channel", HTMLInputElement);
  #rules = byID("tool-rules", HTMLTextAreaElement);
  #token = "";
  #offered = offer();
  #asked = 0; // counts questions, so that late answers are dropped
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #typing;

  /** @param {(token: string) => void} connect connects the page with a token */
  constructor(connect) {
    byID("token-form", HTMLFormElement).addEventListener("submit", (event) => { event.preventDefault(); this.#make(); });
    const copying = byID("token-copy", HTMLButtonElement);
    copying.addEventListener("click", () => copy(this.#token, copying));
    byID("token-connect", HTMLButtonElement).addEventListener("click", () => connect(this.#token));
    for (const field of [this.#user, this.#subscribe, this.#publish, this.#channel, this.#rules]) {
      field.addEventListener("input", () => { clearTimeout(this.#typing); this.#typing = setTimeout(() => this.#judge(), typingPause); });
    }
  }

  /** @param {boolean} shows */
  async show(shows) {
    if (!shows || !await this.#offered) return;
    const { query } = readAddress();
    this.#user.value = query.get("user") ?? this.#user.value;
    this.#channel.value = query.get("channel") ?? this.#channel.value;
    this.#judge();
  }


  get #client() {
    return { user: this.#user.value.trim(), subscribe: words(this.#subscribe.value), publish: words(this.#publish.value) };
  }

  async #make() {
    const note = byID("token-note", HTMLElement);
    byID("token-made", HTMLElement).hidden = true;
    try {
      const info = this.#info.value.trim() ? JSON.parse(this.#info.value) : undefined;
      this.#token = (await askWorkbench("token", { ...this.#client, info, ttl: Number(this.#ttl.value) })).token;
      byID("token-text", HTMLElement).textContent = this.#token;
      byID("token-made", HTMLElement).hidden = false;
      note.textContent = "";
    } catch (error) {
      note.textContent = error instanceof SyntaxError ? "The presence info is not JSON." : /** @type {Error} */ (error).message;
    }
  }

  async #judge() {
    const channel = this.#channel.value.trim();
    writeAddress("tools", { user: this.#user.value.trim(), channel });
    const asked = ++this.#asked;
    const verdict = await askWorkbench("rules", { rules: this.#rules.value, channel, client: this.#client }).then(
      (judgement) => judged(judgement, this.#user.value.trim() || "An anonymous client"),
      (error) => [element("p.note.problem", {}, named(error.message.replaceAll("\n", " · ")))]);
    if (asked === this.#asked) byID("verdict", HTMLElement).replaceChildren(...verdict);
  }
}

/** Shows this section and the link to it if the gateway has a workbench. @returns {Promise<boolean>} */
async function offer() {
  const there = isLocal && await fetch(`${here}/dev`).then(({ ok }) => ok, () => false);
  byID("tools-link", HTMLAnchorElement).hidden = !there;
  byID("tools-none", HTMLElement).hidden = there;
  for (const card of document.querySelectorAll("#view-tools > section")) card.toggleAttribute("hidden", !there);
  return there;
}

/** @param {Judgement} judgement @param {string} who */
function judged({ subscribe, publish, presence, history }, who) {
  return [element("ul.verdicts", {},
    verdict("subscribe", subscribe, who), verdict("publish", publish, who),
    verdict("list who is on the channel", presence, who), verdict("read the history", history, who))];
}

/** @param {string} what @param {Verdict} verdict @param {string} who */
function verdict(what, { allowed, code, why }, who) {
  return element("li", { "data-tone": allowed ? "good" : "bad" },
    element("span.mark", { "aria-hidden": "true" }, allowed ? "✓" : "✗"),
    element("div", {},
      element("p", {}, element("b", {}, named(who), allowed ? ` may ${what}` : ` may not ${what}`), code ? ` (${code})` : ""),
      element("p.quiet", {}, named(why))));
}

/** @param {string} text @returns {string[]} */
function words(text) {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** @param {string} path @param {object} question @returns {Promise<any>} */
function askWorkbench(path, question) {
  return ask(`${here}/dev/${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(question) });
}
