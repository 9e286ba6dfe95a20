// One connection for all tabs of a site: a SharedWorker holds it, and each tab has
// a client with the same methods as one that has its own connection.

import { Timers, unconnected } from "./tidegate-link.js";
import { Emitter, Subscription, Tidegate, TidegateError } from "./tidegate.js";

/**
 * @typedef {import("./tidegate.js").Options} Options
 * @typedef {import("./tidegate.js").Status} Status
 * @typedef {Pick<import("./tidegate.js").ClientEvents, "state" | "roundtrip" | "error">} SharedEvents
 *
 * @typedef {Pick<Tidegate, "status" | "subscribe" | "publish" | "presence" | "history" | "close" | "connect"> & Pick<Emitter<SharedEvents>, "on">} SharedClient
 *
 * @typedef {object} SharedOptions
 * @property {string} [name]  tabs with the same gateway and name share a connection: pass the
 *   user's id, or the tab of one user receives the messages of another
 *
 * @typedef {object} Told   by the worker
 * @property {"event" | "told" | "answer" | "token"} type
 * @property {number} id
 * @property {any} event
 * @property {any} [detail]
 */

/**
 * Returns a client that shares its connection with all tabs of this origin. If the
 * browser does not support that, or does not allow the worker, the client has its own
 * connection. The options of the first tab apply to all.
 * @param {string | URL} [url]
 * @param {Omit<Options, "WebSocket" | "fetch"> & SharedOptions} [options]
 * @returns {SharedClient}
 */
export function shareTidegate(url = "/", { name = "", ...options } = {}) {
  const base = new URL(url, globalThis.location?.href).href;
  const worker = globalThis.navigator?.locks && startWorker(`tidegate ${base} ${name}`);
  if (!worker) return new Tidegate(base, options);
  const made = new SharedTidegate(worker.port, base, options);
  worker.onerror = () => made.failed();
  return made;
}

/** @param {string} name @returns {SharedWorker | undefined} undefined if there are none here, or not for a file of another origin */
function startWorker(name) {
  try {
    return new SharedWorker(new URL("./tidegate-shared-worker.js", import.meta.url), { type: "module", name });
  } catch {}
}

/**
 * A tab's view of the connection that all tabs share.
 * @extends {Emitter<SharedEvents>}
 */
export class SharedTidegate extends Emitter {
  #port;
  #token;
  #joined;
  #lastID = 0;
  /** @type {Map<number, Subscription>} */
  #subscriptions = new Map();
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
  #calls = new Map();
  /** @type {Status} */
  #status = unconnected;
  #leave = () => {};
  #timers = new Timers();
  #patience;
  #heard = false;

  /** @internal @param {MessagePort} port @param {string} url @param {Options} options */
  constructor(port, url, { token, ...options }) {
    super();
    this.#port = port;
    this.#token = token;
    this.#patience = (options.commandTimeout ?? 30_000) + 1_000; // the worker's own time-out comes first
    port.onmessage = ({ data }) => this.#told(data);
    this.#joined = this.#join({ type: "open", url, options, hasToken: token !== undefined });
  }

  /** @returns {Readonly<Status>} of the shared connection */
  get status() {
    return this.#status;
  }

  /**
   * @template [T=any]
   * @param {string} name
   * @param {(message: import("./tidegate.js").Message<T>) => void} [onMessage]
   * @param {import("./tidegate.js").SubscribeOptions} [options]
   * @returns {Subscription<T>}
   */
  subscribe(name, onMessage, options) {
    const id = ++this.#lastID;
    const subscription = new Subscription(this, name, () => {
      if (this.#subscriptions.delete(id)) this.#post({ type: "unsubscribe", id });
    });
    this.#subscriptions.set(id, subscription);
    if (onMessage) subscription.on("message", onMessage);
    this.#post({ type: "subscribe", id, channel: name, options });
    return subscription;
  }

  /** @param {string} channel @param {any} data @param {import("./tidegate.js").PublishOptions} [options] @returns {Promise<{cursor: string}>} */
  async publish(channel, data, options) {
    return this.#call("publish", channel, portable(data, options?.kind), options);
  }

  /** @param {string} channel @returns {Promise<import("./tidegate.js").Member[]>} */
  presence(channel) {
    return this.#call("presence", channel);
  }

  /** @template [T=any] @param {string} channel @param {{limit?: number, cursor?: string}} [options] @returns {Promise<import("./tidegate.js").History<T>>} */
  history(channel, options) {
    return this.#call("history", channel, options);
  }

  /** Leaves the shared connection, which closes with the last tab. */
  close() {
    this.#post({ type: "bye" });
    this.#joined.then(() => { this.#leave(); this.#port.close(); });
    this.#stop(new TidegateError("closed", "the client is closed"));
  }

  /** The worker's file could not be loaded, or not run. @internal */
  failed() {
    if (this.#heard) return;
    const error = new TidegateError("closed", "the SharedWorker could not be started");
    this.#stop(error);
    this.emit("error", error);
  }

  /** @param {TidegateError} error */
  #stop(error) {
    this.#timers.clearAll();
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
    this.#subscriptions.clear();
    this.#setStatus({ ...this.#status, state: "closed", reason: error.message });
  }

  /** Connects again after the gateway disconnected the clients. */
  connect() {
    this.#post({ type: "connect" });
  }

  /** The worker waits for the lock, so it notices when the tab is gone, for whatever reason. @param {object} open @returns {Promise<void>} */
  #join(open) {
    const lock = `tidegate ${crypto.randomUUID()}`;
    return new Promise((joined) => {
      navigator.locks.request(lock, () => {
        this.#port.postMessage({ ...open, lock });
        joined();
        return new Promise((leave) => { this.#leave = () => leave(undefined); });
      });
    });
  }

  /** @param {object} message */
  #post(message) {
    return this.#joined.then(() => this.#port.postMessage(message));
  }

  /** @param {string} method @param {...any} args @returns {Promise<any>} */
  #call(method, ...args) {
    return new Promise((resolve, reject) => {
      if (this.#status.state === "closed") return reject(new TidegateError("closed", "the client is closed"));
      const id = ++this.#lastID;
      this.#calls.set(id, { resolve, reject });
      this.#timers.after(`call ${id}`, this.#patience, () => this.#settle(id)?.reject(new TidegateError("timeout", `the ${method} was not answered in time`)));
      this.#post({ type: "call", id, method, args }).catch((error) => this.#settle(id)?.reject(error));
    });
  }

  /** @param {Told} told */
  #told({ type, id, event, detail }) {
    this.#heard = true;
    switch (type) {
      case "token": return this.#tellToken(id);
      case "told": return this.#subscriptions.get(id)?.emit(event, revived(event, detail));
      case "answer": return this.#answered(id, event, detail);
      case "event": {
        if (event === "state") return this.#setStatus(detail);
        if (event === "roundtrip") this.#status = { ...this.#status, roundTrip: detail };
        return this.emit(event, revived(event, detail));
      }
    }
  }

  /** @param {number} id @param {"value" | "error"} outcome @param {any} detail */
  #answered(id, outcome, detail) {
    const call = this.#settle(id);
    if (outcome === "error") call?.reject(revived("error", detail));
    else call?.resolve(detail);
  }

  /** @param {number} id of a call that is over @returns the call, unless it was over before */
  #settle(id) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    this.#timers.clear(`call ${id}`);
    return call;
  }

  /** @param {number} id */
  async #tellToken(id) {
    try {
      const token = typeof this.#token === "function" ? await this.#token() : this.#token;
      this.#post({ type: "token", id, token });
    } catch (error) {
      this.#post({ type: "token", id, problem: String(error) });
    }
  }

  /** @param {Status} status */
  #setStatus(status) {
    this.#status = status;
    this.emit("state", status);
  }
}

/**
 * Returns the data as a port hands it on unchanged: it would lose what JSON.stringify calls.
 * @param {any} data @param {string} [kind]
 */
function portable(data, kind) {
  if (kind === "text") return String(data);
  if (kind === "binary" || data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return data;
  return JSON.parse(JSON.stringify(data === undefined ? null : data));
}

/** Restores the class of errors, which is lost between worker and tab. @param {string} event @param {any} detail */
function revived(event, detail) {
  return event === "error" ? new TidegateError(detail.code, detail.message) : detail;
}
