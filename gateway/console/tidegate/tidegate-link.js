// The interface between a session and its transport's connection, and what the parts of
// tidegate.js share.

/**
 * @typedef {{type: string, id?: number, channel?: string, [field: string]: any}} Frame
 *   One frame of the native protocol.
 *
 * @typedef {object} End
 *   Why a connection ended.
 * @property {number} code        WebSocket close code; 1006 if there is none, 0 if the client closed it
 * @property {string} reason
 * @property {boolean} [unfit]        this transport does not work here
 * @property {boolean} [unreachable]  no transport works at the moment
 *
 * @typedef {object} Link
 *   A transport's connection. It ends once, and reports nothing after that.
 * @property {(frame: Frame) => void} send
 * @property {() => void} close
 *
 * @typedef {{frame: (frame: Frame) => void, end: (end: End) => void}} LinkEvents
 * @typedef {(base: URL, options: import("./tidegate.js").Options, on: LinkEvents) => Link} Dial
 */

/** The status of a client that has never been connected. @internal @type {import("./tidegate.js").Status} */
export const unconnected = { state: "connecting", transport: "", session: "", user: "", node: "", roundTrip: undefined, reconnects: 0, retryIn: 0, reason: "" };

/** Codes of temporary errors: the client sends the command again. @internal */
export const passing = new Set(["unavailable", "rate_limited"]);

/**
 * Returns a function that asks one question at a time, and after it at most one more, however
 * often it is called meanwhile.
 * @internal
 * @param {() => Promise<unknown>} ask one that does not fail
 * @returns {() => Promise<void>}
 */
export function oneAtATime(ask) {
  let asking = false, again = false;
  return async () => {
    again = true;
    if (asking) return;
    asking = true;
    while (again) {
      again = false;
      await ask();
    }
    asking = false;
  };
}

/** Timers with names. @internal */
export class Timers {
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #running = new Map();

  /** @param {string} name replaces an earlier timer of this name @param {number} ms @param {() => void} action */
  after(name, ms, action) {
    this.clear(name);
    this.#running.set(name, setTimeout(() => { this.#running.delete(name); action(); }, Math.min(ms, 2 ** 31 - 1))); // more would fire at once
  }

  /** @param {string} name @returns {boolean} */
  has(name) {
    return this.#running.has(name);
  }

  /** @param {string} name */
  clear(name) {
    clearTimeout(this.#running.get(name));
    this.#running.delete(name);
  }

  clearAll() {
    this.#running.forEach((_, name) => this.clear(name));
  }
}

/** @internal @param {string} token @returns {{exp?: number, iat?: number, sub?: string}} claims of a JWT, unverified; {} for any other token */
export function claimsOf(token) {
  try {
    const bytes = fromBase64(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(bytes)) ?? {};
  } catch {
    return {};
  }
}

/** @internal @param {string} text base64 */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
