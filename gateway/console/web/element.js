// Builds elements from text only: no part of a message is ever parsed as HTML.

/** The URL of the gateway that serves this page, under any path. */
export const here = new URL(".", location.href).href.replace(/\/$/, "");

/**
 * @param {string} name of the element, with its classes: "li.row.own"
 * @param {Record<string, any>} properties on… are listeners, others are attributes; false and undefined are left out
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
 * Makes wanted the children of parent. It keeps children that are equal already, so that
 * focus and selection are not lost.
 * @param {Element} parent @param {Element[]} wanted
 */
export function update(parent, wanted) {
  wanted.forEach((child, at) => {
    const now = parent.children[at];
    if (!now) parent.append(child);
    else if (!now.isEqualNode(child)) now.replaceWith(child);
  });
  while (parent.childElementCount > wanted.length) parent.lastElementChild?.remove();
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

/**
 * Shows a name that another user has chosen. Invisible characters are spelled out, and the
 * name cannot change the text direction around it.
 * @param {string} name
 */
export function named(name) {
  return element("bdi", {}, name.replace(unseen, (character) => `⟨U+${/** @type {number} */ (character.codePointAt(0)).toString(16).toUpperCase().padStart(4, "0")}⟩`));
}

const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** Code to copy. @param {string} code @param {string} [title] */
export function snippet(code, title) {
  const button = element("button.copy", { type: "button", "aria-label": `Copy ${title ?? "the command"}`, onclick: () => copy(code, button) }, "Copy");
  const caption = title ? element("figcaption", {}, title) : null;
  return element("figure.snippet", {}, caption, element("pre", {}, element("code", {}, code)), button);
}

/** @param {string} text @param {HTMLElement} button shows whether it succeeded */
export async function copy(text, button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy";
    const code = button.parentElement?.querySelector("code");
    if (code) getSelection()?.selectAllChildren(code);
  }
  setTimeout(() => { button.textContent = label; }, 1_500);
}

/** Returns what an error says, and what to do about it on this page. @param {{code?: string, message: string}} error */
export function advice({ code, message }) {
  return code === "unauthenticated" ? `${message}. Enter a token in the console, under Connection.` : message;
}

/** @param {string} text */
export function capital(text) {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
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

/** @param {string} name @returns {string} its first visible character, also of several code units */
export function initial(name) {
  return [...name.replace(unseen, "")][0]?.toUpperCase() ?? "?";
}

/** One of eight hues, the same for the same name. @param {string} name */
export function hue(name) {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.charCodeAt(0)) % 9973;
  return String(sum % 8);
}
