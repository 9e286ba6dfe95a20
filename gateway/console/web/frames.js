// Shows the frames of the native protocol that are sent and received; over HTTP, their
// equivalents.

import { showDetail, pretty } from "./detail.js";
import { byID, clockTime, element } from "./element.js";
import { Feed, walk } from "./feed.js";

/** @typedef {{frame: import("./tidegate.js").Frame, sent: boolean, at: Date}} Passed */

export class Frames {
  #feed;

  constructor() {
    const list = byID("frames", HTMLOListElement);
    this.#feed = new Feed(list, row, { limit: 300 });
    walk(/** @type {HTMLElement} */ (list.parentElement));
    byID("frames-clear", HTMLButtonElement).addEventListener("click", () => this.#feed.clear());
  }

  /** Renders frames only while they are visible, to save work. @param {boolean} visible */
  show(visible) {
    this.#feed.paused = !visible;
    if (visible) this.#feed.shown();
  }

  /** @param {Pick<Passed, "frame" | "sent">} passed */
  add({ frame, sent }) {
    this.#feed.add({ frame: frame.token ? { ...frame, token: "…" } : frame, sent, at: new Date() });
  }
}

/** @param {Passed} passed */
function row({ frame, sent, at }) {
  const text = JSON.stringify(frame);
  const show = () => showDetail(sent ? "Sent" : "Received", [["Type", frame.type], ["Time", clockTime(at)], ["Length", `${text.length} characters`]], pretty(text));
  return element(sent ? "li.frame.sent" : "li.frame", {}, element("button.line", { type: "button", tabindex: -1, onclick: show },
    element("time.quiet.numbers", { datetime: at.toISOString() }, clockTime(at)),
    element("span.way", { role: "img", "aria-label": sent ? "sent" : "received" }, sent ? "↑" : "↓"),
    element("span.payload.mono", {}, text)));
}
