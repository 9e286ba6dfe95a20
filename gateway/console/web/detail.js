// Shows one message or frame in full: its text, facts about it, and possible actions.

import { byID, copy, element, named } from "./element.js";

const dialog = byID("detail", HTMLDialogElement);

/**
 * @param {string} title
 * @param {[string, string][]} facts
 * @param {string} body
 * @param {{label: string, act: () => void}[]} [actions]
 */
export function showDetail(title, facts, body, actions = []) {
  const close = element("button.leave", { type: "button", "aria-label": "Close", onclick: () => dialog.close() }, "×");
  const copying = element("button", { type: "button", onclick: () => copy(body, copying) }, "Copy");
  dialog.replaceChildren(
    element("header", {}, element("h2", { id: "detail-title" }, named(title)), close),
    element("dl.facts", {}, ...facts.filter(([, value]) => value).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", { title: value }, named(value))))),
    element("pre.body.mono", { tabindex: 0, "aria-label": "Content" }, body),
    element("div.row", {}, copying, ...actions.map(({ label, act }) => element("button.primary", { type: "button", onclick: () => { dialog.close(); act(); } }, label))));
  dialog.showModal();
}

dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

/** @param {string} text JSON, or anything @returns {string} */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
