// The page: the current section, and the connection that all sections share.

import { Tidegate } from "./tidegate.js";
import { readAddress, writeAddress } from "./address.js";
import { ClusterView } from "./cluster.js";
import { advice, byID, capital, duration, here } from "./element.js";
import { openExample } from "./examples.js";
import { Frames } from "./frames.js";
import { MessageView } from "./messageview.js";
import { Timeline, transportName } from "./timeline.js";
import { Tools } from "./tools.js";

const stateNames = { connecting: "Connecting", connected: "Connected", waiting: "Reconnecting", closed: "Disconnected" };

const timeline = new Timeline();
const frames = new Frames();
const messages = new MessageView(timeline);
const cluster = new ClusterView();
const tools = new Tools((made) => { token.value = made; connect(); location.hash = "#console"; });
const connectForm = byID("connect", HTMLFormElement);
const url = byID("url", HTMLInputElement);
const token = byID("token", HTMLInputElement);
const tabs = ["messages", "timeline", "frames"].map((name) => byID(`tab-${name}`, HTMLButtonElement));

url.value = here;
/** @type {Tidegate} */
let tide;
/** @type {() => void} */
let closeExample = () => {};

connect();
route();
addEventListener("hashchange", () => { route(); scrollTo(0, 0); });
addEventListener("pageshow", ({ persisted }) => { if (persisted) route(); }); // an example has ended
connectForm.addEventListener("submit", (event) => {
  event.preventDefault();
  connect();
});
byID("disconnect", HTMLButtonElement).addEventListener("click", () => tide.close());
byID("reconnect", HTMLButtonElement).addEventListener("click", connect);
byID("skip", HTMLButtonElement).addEventListener("click", () => byID("main", HTMLElement).focus());
byID("connection", HTMLDetailsElement).open = matchMedia("(min-width: 60rem)").matches;
for (const tab of tabs) {
  tab.addEventListener("click", () => chooseTab(tab));
  tab.addEventListener("keydown", moveTab);
}

function connect() {
  const before = tide;
  try {
    tide = new Tidegate(url.value || here, { token: token.value.trim() });
  } catch {
    return showPulse("closed", "The gateway URL is invalid");
  } finally {
    before?.close();
  }
  const client = tide;
  const ifCurrent = (/** @type {(event: any) => void} */ act) => (/** @type {any} */ event) => { if (client === tide) act(event); };
  client.on("state", ifCurrent((status) => { timeline.state(status); showStatus(); }));
  client.on("roundtrip", ifCurrent(showStatus));
  client.on("frame", ifCurrent((passed) => frames.add(passed)));
  client.on("error", ifCurrent((error) => {
    const problem = `${error.code}: ${advice(error)}`;
    messages.note("", problem);
    timeline.problem(problem);
  }));
  timeline.use(client);
  messages.use(client);
  if (readAddress().section === "examples") route();
}

function route() {
  const { section, name, query } = readAddress();
  for (const one of ["console", "cluster", "examples", "tools"]) byID(`view-${one}`, HTMLElement).hidden = one !== section;
  closeExample();
  closeExample = section === "examples" ? openExample(byID("example", HTMLDivElement), name || "chat", tide) : () => {};
  cluster.show(section === "cluster");
  tools.show(section === "tools");
  if (section === "console") {
    messages.show();
    chooseTab(tabs.find((tab) => tab.id === `tab-${query.get("view")}`) ?? tabs[0]);
  }
  for (const link of document.querySelectorAll("nav a")) markCurrent(link, section === "examples" ? ["#examples", `#examples/${name || "chat"}`] : [`#${section}`]);
}

/** @param {HTMLButtonElement} chosen */
function chooseTab(chosen) {
  for (const tab of tabs) {
    tab.setAttribute("aria-selected", String(tab === chosen));
    tab.tabIndex = tab === chosen ? 0 : -1;
    byID(tab.getAttribute("aria-controls") ?? "", HTMLElement).hidden = tab !== chosen;
  }
  messages.shown();
  frames.show(chosen === tabs[2]);
  const view = chosen === tabs[0] ? "" : chosen.id.slice("tab-".length);
  const { query } = readAddress();
  writeAddress("console", { channel: query.getAll("channel"), show: query.get("show") ?? "", filter: query.get("filter") ?? "", view });
}

/** @param {KeyboardEvent} event */
function moveTab(event) {
  const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
  if (step === 0) return;
  const next = tabs[(tabs.findIndex((tab) => tab === event.currentTarget) + step + tabs.length) % tabs.length];
  chooseTab(next);
  next.focus();
}

/** @param {Element} link @param {string[]} current */
function markCurrent(link, current) {
  if (!current.includes(link.getAttribute("href") ?? "")) return link.removeAttribute("aria-current");
  link.setAttribute("aria-current", "page");
  bringToMiddle(/** @type {HTMLElement} */ (link));
}

/** Scrolls a link to the middle if the links are wider than the screen. It scrolls only sideways: connecting must not move the page. @param {HTMLElement} link */
function bringToMiddle(link) {
  const list = /** @type {HTMLElement} */ (link.parentElement);
  list.scrollLeft = link.offsetLeft - list.offsetLeft - (list.clientWidth - link.offsetWidth) / 2;
}

function showStatus() {
  const { state, transport, session, user, node, roundTrip, reconnects, reason } = tide.status;
  const name = capital(transportName(transport));
  const facts = [name, roundTrip && duration(roundTrip), node].filter(Boolean).join(" · ");
  showPulse(state, state === "connected" ? facts : state === "connecting" ? "" : reason);
  show("transport", name);
  show("user", state === "connected" ? user || "anonymous" : "");
  show("node", node);
  show("session", session);
  show("roundtrip", duration(roundTrip));
  show("reconnects", String(reconnects));
  cluster.use(url.value || here, node);
}

/** @param {string} fact @param {string} value */
function show(fact, value) {
  byID(`fact-${fact}`, HTMLElement).textContent = value || "–";
}

/** @param {keyof typeof stateNames} state @param {string} detail */
function showPulse(state, detail) {
  const pulse = /** @type {HTMLElement} */ (document.querySelector(".pulse"));
  pulse.dataset.state = document.body.dataset.state = state;
  setText("pulse-state", stateNames[state]);
  setText("pulse-detail", detail);
  showAway(state, detail);
}

/** Makes visible that the content of the page is out of date while there is no connection. @param {keyof typeof stateNames} state @param {string} detail */
function showAway(state, detail) {
  const away = state === "waiting" || state === "closed";
  if (state !== "connecting") byID("away", HTMLElement).hidden = !away;
  document.title = away ? `${stateNames[state]} – Tidegate` : "Tidegate";
  if (!away) return;
  setText("away-state", state === "closed" ? "Disconnected." : "Connection lost, reconnecting.");
  const waiting = state === "waiting" ? " Messages that you publish are sent when the connection is back." : "";
  setText("away-detail", `${detail ? `${capital(detail)}. ` : ""}This page may be out of date.${waiting}`);
}

/** Sets a text only if it has changed, because a screen reader would read it again. @param {string} id @param {string} text */
function setText(id, text) {
  const target = byID(id, HTMLElement);
  if (target.textContent !== text) target.textContent = text;
}
