// The SharedWorker that holds the connection of all tabs. See tidegate-shared.js.

import { Tidegate } from "./tidegate.js";

/**
 * @typedef {object} Tab
 * @property {MessagePort} port
 * @property {boolean} hasToken  whether the tab can provide a token
 * @property {Map<number, import("./tidegate.js").Subscription>} subscriptions  by the tab's own id
 */

/** @type {Set<Tab>} */
const tabs = new Set();
/** @type {Map<number, {tab: Tab, resolve: (token: string) => void, reject: (error: Error) => void}>} */
const asked = new Map();
let lastAsk = 0;
/** @type {Tidegate | null} Null while there are no tabs. */
let client = null;

const events = /** @type {const} */ (["message", "subscribed", "gap", "join", "leave", "presence_changed", "error"]);

/** @type {any} */ (globalThis).onconnect = (/** @type {MessageEvent} */ { ports: [port] }) => {
  /** @type {Tab} */
  const tab = { port, hasToken: false, subscriptions: new Map() };
  port.onmessage = ({ data }) => heard(tab, data);
};

/** @param {Tab} tab @param {any} said */
function heard(tab, said) {
  if (said.type === "open") return join(tab, said);
  if (said.type === "bye") return drop(tab);
  if (said.type === "token") return answerToken(said);
  if (!client) return;
  switch (said.type) {
    case "subscribe": return subscribe(client, tab, said);
    case "unsubscribe": return unsubscribe(tab, said.id);
    case "call": return call(client, tab, said);
    case "connect": return client.connect();
  }
}

/** @param {Tab} tab @param {any} open */
function join(tab, { url, options, hasToken, lock }) {
  tab.hasToken = hasToken;
  tabs.add(tab);
  client ??= connect(url, hasToken ? { ...options, token: askForToken } : options);
  client.connect(); // if it is closed
  tab.port.postMessage({ type: "event", event: "state", detail: client.status });
  navigator.locks.request(lock, () => drop(tab));
}

/** @param {string} url @param {import("./tidegate.js").Options} options */
function connect(url, options) {
  const made = new Tidegate(url, options);
  for (const event of /** @type {const} */ (["state", "roundtrip", "error"])) {
    made.on(event, (/** @type {any} */ detail) => {
      for (const { port } of tabs) port.postMessage({ type: "event", event, detail: plain(detail) });
    });
  }
  return made;
}

/** @param {Tab} tab one that has closed */
function drop(tab) {
  if (!tabs.delete(tab)) return;
  for (const id of tab.subscriptions.keys()) unsubscribe(tab, id);
  for (const ask of asked.values()) if (ask.tab === tab) ask.reject(new Error("the tab is gone"));
  if (tabs.size > 0) return;
  client?.close();
  client = null;
}

/** @param {Tidegate} client @param {Tab} tab @param {any} subscribe */
function subscribe(client, tab, { id, channel, options }) {
  const subscription = client.subscribe(channel, undefined, options);
  tab.subscriptions.set(id, subscription);
  for (const event of events) {
    subscription.on(event, (/** @type {any} */ detail) => tab.port.postMessage({ type: "told", id, event, detail: plain(detail) }));
  }
}

/** @param {Tab} tab @param {number} id */
function unsubscribe(tab, id) {
  tab.subscriptions.get(id)?.unsubscribe();
  tab.subscriptions.delete(id);
}

/** @param {Tidegate} client @param {Tab} tab @param {{id: number, method: "publish" | "presence" | "history", args: any[]}} call */
async function call(client, tab, { id, method, args }) {
  try {
    const detail = await /** @type {any} */ (client)[method](...args);
    tab.port.postMessage({ type: "answer", id, event: "value", detail });
  } catch (error) {
    tab.port.postMessage({ type: "answer", id, event: "error", detail: plain(error) });
  }
}

/** Asks the newest tab, and the next one if that tab closes, or has not answered yet: it may be suspended. @returns {Promise<string>} */
async function askForToken() {
  const able = [...tabs].reverse().filter(({ hasToken }) => hasToken), silent = [...asked.values()].map(({ tab }) => tab);
  const tab = able.find((one) => !silent.includes(one)) ?? able[0];
  if (!tab) throw new Error("no tab can provide a token");
  const id = ++lastAsk;
  try {
    return await new Promise((resolve, reject) => {
      asked.set(id, { tab, resolve, reject });
      tab.port.postMessage({ type: "token", id });
    });
  } catch (error) {
    if (tabs.has(tab)) throw error;
    return askForToken();
  } finally {
    asked.delete(id);
  }
}

/** @param {{id: number, token?: string, problem?: string}} answer */
function answerToken({ id, token = "", problem }) {
  if (problem === undefined) asked.get(id)?.resolve(token);
  else asked.get(id)?.reject(new Error(problem));
}

/** Returns the detail in a form that a port can transfer. @param {any} detail */
function plain(detail) {
  return detail instanceof Error ? { code: /** @type {any} */ (detail).code, message: detail.message } : detail;
}
