// Elements made of text only: nothing a message says is ever parsed as HTML.

/** The gateway that this page comes from, whatever path it is served below. */
export const here = new URL(".", location.href).href.replace(/\/$/, "");

/**
 * @param {string} name of the element, with its classes: "li.row.own"
 * @param {Record<string, any>} properties on… are listeners, others attributes; false and undefined are left out
 * @param {...(Node | string | undefined | null)} children
 * @returns {HTMLElement}
 */
export function element(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  made.classList.add(...classes);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== undefined) made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

/**
 * @template {HTMLElement} T
 * @param {string} id @param {new () => T} type @returns {T}
 */
export function byID(id, type) {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`the page has no ${type.name} #${id}`);
}

/** Code to copy. @param {string} code @param {string} [title] */
export function snippet(code, title) {
  const button = element("button.copy", { type: "button", "aria-label": `Copy ${title ?? "the command"}`, onclick: () => copy(code, button) }, "Copy");
  const caption = title ? element("figcaption", {}, title) : null;
  return element("figure.snippet", {}, caption, element("pre", {}, element("code", {}, code)), button);
}

/** @param {string} text @param {HTMLElement} button */
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy";
    const code = button.parentElement?.querySelector("code");
    if (code) getSelection()?.selectAllChildren(code);
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1_500);
}

/** @param {Date} time */
export function clockTime(time) {
  return time.toLocaleTimeString(undefined, { hourCycle: "h23" });
}

/** @param {number | undefined} ms */
export function duration(ms) {
  if (ms === undefined) return "–";
  return ms < 10 ? `${ms.toFixed(1)} ms` : ms < 10_000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1_000)} s`;
}

/** One of eight hues, the same for the same name. @param {string} name */
export function hue(name) {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.charCodeAt(0)) % 9973;
  return String(sum % 8);
}
