// The page: which section shows, and the connection that all of it shares.

import { Tidegate } from "./tidegate.js";
import { byID, duration, here } from "./element.js";
import { openExample } from "./examples.js";
import { MessageView } from "./messageview.js";

const stateNames = { connecting: "Connecting", connected: "Connected", waiting: "Reconnecting", closed: "Disconnected" };
const transportNames = { websocket: "WebSocket", sse: "Server-Sent Events", longpoll: "Long-poll" };

const messages = new MessageView();
const connectForm = byID("connect", HTMLFormElement);
const url = byID("url", HTMLInputElement);
const token = byID("token", HTMLInputElement);

url.value = here;
/** @type {Tidegate} */
let tide;
/** @type {() => void} */
let closeExample = () => {};

connect();
route();
addEventListener("hashchange", () => { route(); scrollTo(0, 0); });
connectForm.addEventListener("submit", (event) => {
  event.preventDefault();
  connect();
});
byID("disconnect", HTMLButtonElement).addEventListener("click", () => tide.close());
byID("connection", HTMLDetailsElement).open = matchMedia("(min-width: 60rem)").matches;

function connect() {
  tide?.close();
  try {
    tide = new Tidegate(url.value || here, { token: token.value.trim() });
  } catch {
    return showPulse("closed", "The gateway's URL is not a URL");
  }
  const client = tide;
  const ifCurrent = (/** @type {() => void} */ show) => () => { if (client === tide) show(); };
  client.on("state", ifCurrent(showStatus));
  client.on("roundtrip", ifCurrent(showStatus));
  client.on("error", (error) => messages.note(`${error.code}: ${error.message}`));
  messages.use(client);
  if (location.hash.startsWith("#examples")) route();
}

function route() {
  const [section, name] = location.hash.slice(1).split("/");
  const inExamples = section === "examples";
  byID("view-console", HTMLElement).hidden = inExamples;
  byID("view-examples", HTMLElement).hidden = !inExamples;
  closeExample();
  closeExample = inExamples ? openExample(byID("example", HTMLDivElement), name || "chat", tide) : () => {};
  for (const link of document.querySelectorAll("nav a")) markCurrent(link, inExamples ? ["#examples", `#examples/${name || "chat"}`] : ["#console"]);
}

/** @param {Element} link @param {string[]} current */
function markCurrent(link, current) {
  if (!current.includes(link.getAttribute("href") ?? "")) return link.removeAttribute("aria-current");
  link.setAttribute("aria-current", "page");
  bringToMiddle(/** @type {HTMLElement} */ (link));
}

/** Where the links are wider than the screen. Only sideways: connecting must not move the page. @param {HTMLElement} link */
function bringToMiddle(link) {
  const list = /** @type {HTMLElement} */ (link.parentElement);
  list.scrollLeft = link.offsetLeft - list.offsetLeft - (list.clientWidth - link.offsetWidth) / 2;
}

function showStatus() {
  const { state, transport, session, user, node, roundTrip, reconnects, reason } = tide.status;
  const name = /** @type {Record<string, string>} */ (transportNames)[transport] ?? "";
  showPulse(state, state === "connected" ? [name, node, roundTrip && duration(roundTrip)].filter(Boolean).join(" · ") : reason);
  show("transport", name);
  show("user", state === "connected" ? user || "anonymous" : "");
  show("node", node);
  show("session", session);
  show("roundtrip", duration(roundTrip));
  show("reconnects", String(reconnects));
}

/** @param {string} fact @param {string} value */
function show(fact, value) {
  byID(`fact-${fact}`, HTMLElement).textContent = value || "–";
}

/** @param {keyof stateNames} state @param {string} detail */
function showPulse(state, detail) {
  const pulse = /** @type {HTMLElement} */ (document.querySelector(".pulse"));
  pulse.dataset.state = state;
  setText("pulse-state", stateNames[state]);
  setText("pulse-detail", detail);
}

/** Leaves an unchanged text alone: screen readers would say it again. @param {string} id @param {string} text */
function setText(id, text) {
  const target = byID(id, HTMLElement);
  if (target.textContent !== text) target.textContent = text;
}
