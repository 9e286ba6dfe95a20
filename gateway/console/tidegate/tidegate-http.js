// The transports to use if a WebSocket cannot be opened: Server-Sent Events and
// long-poll. Part of tidegate.js, which loads this file when it is needed.
//
// To the client, both look like the native protocol. Messages arrive with GET
// /events or GET /poll, and commands go to the HTTP API. A cursor over all channels
// lets any node continue where another stopped.

import { Timers, claimsOf, passing } from "./tidegate-link.js";

/**
 * @typedef {import("./tidegate-link.js").Frame} Frame
 * @typedef {import("./tidegate-link.js").LinkEvents} LinkEvents
 * @typedef {import("./tidegate.js").Options} Options
 */

const pollWait = "25s";
const answerLimit = 35_000; // ms, for an answer that ends: some more than that
const silenceLimit = 60_000; // ms, timeout for a stream that sends heartbeats
const restartDelay = 20; // ms, to combine subscribes that follow each other closely

class HTTPLink {
  #base;
  #on;
  #fetch;
  #credentials;
  #token = "";
  #ended = new AbortController();
  /** @type {Map<string, string>} The cursor of each subscribed channel. */
  #channels = new Map();
  /** @type {Map<string, AbortController>} Aborts the subscribe of a channel when it is unsubscribed. */
  #joining = new Map();
  /** @type {Map<string | undefined, Promise<unknown>>} The last publish under way on each channel: sent in parallel, they could overtake each other. */
  #publishing = new Map();
  #receiving = new AbortController();
  #timers = new Timers();

  /** @param {URL} base @param {Options} options with an openTimeout @param {LinkEvents} on */
  constructor(base, options, on) {
    this.#base = base;
    this.#on = on;
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, init));
    this.#credentials = options.credentials;
    this.openTimeout = /** @type {number} */ (options.openTimeout);
    this.#alive().then(() => on.frame({ type: "welcome" }), () => this.end(1006, "the gateway does not answer here", { unreachable: true }));
  }

  /** @param {Frame} frame */
  send(frame) {
    const { id, type, channel } = frame;
    const isPublish = type === "publish";
    const performed = isPublish ? Promise.resolve(this.#publishing.get(channel)).then(() => this.#perform(frame)) : this.#perform(frame);
    const done = performed.then(
      (reply) => reply && this.#on.frame({ id, ...reply }),
      (error) => {
        this.#failed(frame, error);
        if (!error.status || passing.has(error.code)) throw error; // those behind it fail, too, and are sent again after it
      });
    done.catch(() => {}).then(() => this.#publishing.get(channel) === done && this.#publishing.delete(channel));
    if (isPublish) this.#publishing.set(channel, done);
  }

  close() {
    this.#ended.abort();
    this.#receiving.abort();
  }

  /**
   * Receives messages until it fails or signal aborts it.
   * @param {string[]} _channels @param {string[]} _cursors one for each channel @param {AbortSignal} _signal
   * @returns {Promise<void>}
   */
  async receive(_channels, _cursors, _signal) {}

  /** Resolves if /healthz answers, as it does to pages of allowed origins only. */
  #alive() {
    return this.#fetch(new URL("healthz", this.#base), { cache: "no-store", credentials: this.#credentials, signal: this.#ended.signal });
  }

  /** @param {Frame} frame @returns {Promise<Frame | undefined>} the answer */
  async #perform(frame) {
    const { channel = "", limit, cursor } = frame;
    const path = `api/channels/${encodeURIComponent(channel.toWellFormed())}/`;
    switch (frame.type) {
      case "ping": return this.#alive().then(() => ({ type: "pong" }));
      case "auth": return this.#authenticate(frame.token);
      case "subscribe": return this.#subscribe(channel, frame);
      case "unsubscribe": return this.#unsubscribe(channel);
      case "publish": return { type: "published", ...await this.#publish(frame) };
      case "presence": return { type: "presence", channel, ...await this.ask(path + "presence") };
      case "history": return { type: "history", channel, ...await this.ask(path + "messages", { limit, cursor }) };
    }
  }

  /** @param {string} token @returns {Frame} */
  #authenticate(token) {
    this.#token = token;
    if (this.#channels.size > 0) this.#receiveAnew();
    return { type: "welcome", user: claimsOf(token).sub };
  }

  /** @param {string} channel @param {Frame} frame @returns {Promise<undefined>} */
  async #subscribe(channel, { id, cursor, recent }) {
    const joining = new AbortController();
    this.#joining.set(channel, joining);
    const ask = () => this.ask("poll", { channel, cursor, recent, wait: cursor && "0s" }, joining.signal);
    const page = await ask().catch((error) => error.code === "limit_exceeded" && this.#channels.size > 0 ? this.#withRoom(ask) : Promise.reject(error));
    joining.signal.throwIfAborted();
    const at = page.cursor ?? cursor ?? "";
    const begin = cursor || !page.messages?.length ? at : before(page.messages[0].cursor);
    this.#channels.set(channel, at);
    // "-" is the cursor of a channel without history, only on these transports.
    this.#on.frame({ type: "subscribed", id, channel, cursor: begin === "-" ? "" : begin, recovered: page.recovered });
    this.deliver(page);
    this.#receiveAnew();
  }

  /** Asks while nothing is received: both take a session, and perhaps only one is allowed. @param {() => Promise<any>} ask */
  async #withRoom(ask) {
    this.#receiveAnew(1_000);
    await new Promise((resolve) => setTimeout(resolve, 100)); // a node may take so long to notice that a stream has ended
    return ask();
  }

  /** @param {string} channel @returns {Frame} */
  #unsubscribe(channel) {
    this.#joining.get(channel)?.abort();
    this.#joining.delete(channel);
    this.#channels.delete(channel);
    this.#receiveAnew();
    return { type: "unsubscribed", channel };
  }

  /** @param {Frame} frame */
  async #publish({ channel, event, tags, transient, traceparent, key, data, text, binary }) {
    const headers = { "Content-Type": "application/json", ...(traceparent && { traceparent }) };
    const body = JSON.stringify([{ channels: [channel], event, tags, transient, key, data, text, binary }]);
    return (await this.ask("api/messages", {}, undefined, { method: "POST", headers, body })).results[0];
  }

  #receiveAnew(delay = restartDelay) {
    this.#receiving.abort();
    this.#timers.after("restart", delay, () => this.#receive());
  }

  async #receive() {
    const signal = (this.#receiving = new AbortController()).signal;
    const channels = [...this.#channels.keys()];
    if (channels.length === 0 || this.#ended.signal.aborted) return;
    try {
      await this.receive(channels, [...this.#channels.values()], signal);
    } catch (error) {
      if (signal.aborted) return;
      const { status, message } = /** @type {any} */ (error);
      const channel = channels.pop() ?? "";
      const isTooLong = status === 414 || status === 431; // the URL names too many channels
      if (!isTooLong || channels.length === 0) return this.#lost(error);
      this.#on.frame({ ...this.#unsubscribe(channel), code: "limit_exceeded", reason: message });
    }
  }

  /** @param {any} page of messages, or empty */
  deliver(page) {
    this.gap(page.gaps ?? []);
    for (const message of page.messages ?? []) this.message(message);
  }

  /** @param {any} message */
  message(message) {
    if (!this.#channels.has(message.channel)) return;
    if (message.cursor) this.#channels.set(message.channel, message.cursor);
    this.#on.frame({ ...message, type: "message", id: undefined });
  }

  /** @param {string[]} channels */
  gap(channels) {
    for (const channel of channels) this.#on.frame({ type: "gap", channel });
  }

  /**
   * Sends a request whose answer ends: a GET, unless the options say otherwise.
   * @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] @param {RequestInit} [options]
   * @returns {Promise<any>} the answer, empty if it has no body
   */
  async ask(path, query, signal = this.#ended.signal, options) {
    const limit = AbortSignal.any([AbortSignal.timeout(answerLimit), this.#ended.signal, signal]);
    const answer = await this.fetch(path, query, limit, options);
    return answer.status === 204 ? {} : answer.json();
  }

  /** @param {string} path @param {Record<string, any>} query @param {AbortSignal} signal @param {RequestInit} [options] */
  async fetch(path, query = {}, signal, options) {
    const url = new URL(path, this.#base);
    for (const [name, values] of Object.entries(query)) {
      for (const value of [values].flat()) if (value !== undefined) url.searchParams.append(name, value);
    }
    const credential = this.#token && { Authorization: `Bearer ${this.#token}` };
    const headers = /** @type {HeadersInit} */ ({ ...options?.headers, ...credential });
    const answer = await this.#fetch(url, { ...options, headers, cache: "no-store", credentials: this.#credentials, signal });
    if (answer.ok) return answer;
    const { status } = answer;
    const { code, message } = (await answer.json().catch(() => ({}))).error ?? {};
    const fallback = status >= 500 ? "unavailable" : status === 429 ? "rate_limited" : "not_found";
    throw refusal(status, code ?? fallback, message ?? `status ${status}`);
  }

  /** @param {Frame} frame @param {any} error */
  #failed({ type, id }, error) {
    if (type === "ping") return this.end(1006, "no answer");
    if (error.status === 401 && claimsOf(this.#token).sub) return this.#lost(error); // without a user, it is about the channel
    const passes = !error.status || type === "subscribe" && error.code === "limit_exceeded" && this.#channels.size === 0; // else it is not the number of sessions
    this.#on.frame({ type: "error", id, code: passes ? "unavailable" : error.code, message: error.message });
  }

  /** @param {any} error why receiving failed */
  #lost(error) {
    this.end(error.status === 401 ? 4002 : 1006, error.message);
  }

  /** @param {number} code @param {string} reason @param {object} [more] */
  end(code, reason, more) {
    if (this.#ended.signal.aborted) return;
    this.close();
    this.#on.end({ code, reason, ...more });
  }
}

export class PollLink extends HTTPLink {
  /** @override @param {string[]} channels @param {string[]} cursors @param {AbortSignal} signal */
  async receive(channels, cursors, signal) {
    let cursor = /** @type {string | string[]} */ (cursors);
    while (!signal.aborted) {
      const page = await this.ask("poll", { channel: channels, cursor, wait: pollWait }, signal);
      if (signal.aborted) return;
      if (page.recovered === false) this.gap(channels);
      this.deliver(page);
      cursor = page.cursor ?? cursor;
    }
  }
}

export class EventsLink extends HTTPLink {
  /** @override @param {string[]} channels @param {string[]} cursors @param {AbortSignal} signal */
  async receive(channels, cursors, signal) {
    const timers = new Timers();
    // If nothing has ever arrived, a proxy holds streams back: the transport is unfit.
    const expect = (/** @type {number} */ ms) => timers.after("silence", ms, () => this.end(1006, "the stream is silent", { unfit: !this.#heard }));
    expect(this.openTimeout);
    try {
      const answer = await this.fetch("events", { channel: channels, cursor: cursors, envelope: true }, signal);
      const events = new EventParser((data) => {
        const frame = JSON.parse(data); // an envelope, which is a frame of the native protocol
        if (frame.type === "gap") this.gap([frame.channel]);
        else this.message(frame);
      });
      const text = new TextDecoder();
      const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        if (signal.aborted) return;
        this.#heard = true;
        expect(silenceLimit);
        events.feed(text.decode(part.value, { stream: true }));
      }
      throw new Error("the stream ended");
    } finally {
      timers.clearAll();
    }
  }
  #heard = false;
}

/**
 * Reads the data of an event stream's events:
 * https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export class EventParser {
  #rest = "";
  /** @type {string[]} */
  #data = [];
  #on;

  /** @param {(data: string) => void} on */
  constructor(on) {
    this.#on = on;
  }

  /** @param {string} part of the stream */
  feed(part) {
    const text = this.#rest + part;
    const held = text.endsWith("\r") ? 1 : 0; // a line feed may follow
    const lines = text.slice(0, text.length - held).split(/\r\n|\r|\n/);
    this.#rest = (lines.pop() ?? "") + text.slice(text.length - held);
    for (const line of lines) this.#line(line);
  }

  /** @param {string} line */
  #line(line) {
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === "data") this.#data.push(value);
    if (line === "" && this.#data.length > 0) this.#on(this.#data.splice(0).join("\n"));
  }
}

/** @param {number} status @param {string} code @param {string} message */
function refusal(status, code, message) {
  return Object.assign(new Error(message), { status, code });
}

/** @param {string} cursor @returns {string} the previous cursor; the offsets of a channel have no gaps */
function before(cursor) {
  const [epoch, offset] = cursor.split(":");
  return `${epoch}:${Number(offset) - 1}`;
}
