// Tidegate in the browser, Node and Deno: one connection, any number of
// channels, nothing lost in silence.
//
//     import { Tidegate } from "/tidegate.js";
//     const tide = new Tidegate();
//     const room = tide.subscribe("chat:lobby", (message) => show(message.data));
//     await tide.publish("chat:lobby", { text: "hi" });
//
// It reconnects by itself and resumes every channel where it was. Where a
// WebSocket cannot be opened it goes on over Server-Sent Events, and where
// these are held back, by long-poll (tidegate-http.js, loaded only then).

import { fromBase64 } from "./tidegate-link.js";
import { Session, passing } from "./tidegate-session.js";

/**
 * @typedef {import("./tidegate-link.js").Frame} Frame
 * @typedef {import("./tidegate-link.js").End} End
 * @typedef {"websocket" | "sse" | "longpoll"} Transport
 *
 * @typedef {object} Options
 * @property {string | (() => string | Promise<string>)} [token]
 *   Who the client is. A function is asked again before the token expires, and
 *   on every connect.
 * @property {Transport[]} [transports]
 *   What to try, best first. "websocket" is left out where there is no WebSocket.
 * @property {"omit" | "same-origin" | "include"} [credentials]
 *   Whether requests carry cookies, as in fetch: "include" is for a gateway on
 *   another origin. A WebSocket always carries what the browser has for it.
 * @property {number} [maxQueued]       commands that may wait while there is no connection
 * @property {number} [minDelay]        ms, the first reconnect comes within it
 * @property {number} [maxDelay]        ms, no reconnect waits longer
 * @property {number} [openTimeout]     ms, for a connection to open, and for the token function
 * @property {number} [commandTimeout]  ms, for a publish to be confirmed, reconnects included
 * @property {number} [upgradeAfter]    ms, until a better transport is tried again; doubles up to 5 minutes
 * @property {any} [WebSocket]               a WebSocket class, where there is no global one
 * @property {typeof globalThis.fetch} [fetch]  likewise
 *
 * @typedef {object} SubscribeOptions
 * @property {string} [cursor]  go on after this message
 * @property {number} [recent]  begin with so many messages of the history; a cursor counts more
 * @property {boolean} [echo]   false leaves out what this client publishes (only a WebSocket can)
 *
 * @typedef {object} PublishOptions
 * @property {string} [event]   a name beside the data
 * @property {Record<string, string>} [tags]  more names beside it, at most 1,024 bytes as JSON
 * @property {boolean} [transient]  true keeps it out of the history; who misses it is not told
 * @property {string} [traceparent]  what has led to it (W3C Trace Context), where the gateway traces messages
 * @property {string} [key]     published once, however often it is sent; made if left out
 * @property {"json" | "text" | "binary"} [kind]  bytes are binary, all else is JSON
 */

/**
 * @template [T=any]
 * @typedef {object} Message
 * @property {string} channel
 * @property {T} data         a JSON value, a string, or a Uint8Array, as kind says
 * @property {"json" | "text" | "binary"} kind
 * @property {string} event   the name beside the data, or ""
 * @property {Record<string, string>} tags  more names beside it
 * @property {string} user    who published it; "" for a backend or an anonymous client
 * @property {any} [info]     what the user's token says of them, on a channel with presence
 * @property {string} cursor  its place in the channel's history; "" where none is kept
 * @property {Date} [time]    when a node took it, where that is told
 */

/**
 * @template [T=any]
 * @typedef {{messages: Message<T>[], cursor: string, complete: boolean}} History
 *   Oldest first. Subscribe with the cursor to go on without a gap; complete is
 *   false if older messages than these are gone.
 */

/**
 * @typedef {object} Status
 * @property {"connecting" | "connected" | "waiting" | "closed"} state
 * @property {Transport | ""} transport  "" while there is none
 * @property {string} session
 * @property {string} user        "" for an anonymous client
 * @property {string} node
 * @property {number} [roundTrip] ms, of the last ping
 * @property {number} reconnects  how often the connection was replaced by another
 * @property {number} retryIn     ms, while waiting
 * @property {string} reason      why the last connection ended, or could not be opened
 *
 * @typedef {{user: string, session?: string, info?: any, sessions: number}} Member
 *
 * @typedef {object} Subscribed
 * @property {boolean} recovered  false: messages may have been missed
 * @property {string} from        the cursor that it goes on after; "" if it begins here
 * @property {string} cursor      where it begins, or, if it goes on, the channel's end now
 */

/**
 * @typedef {object} ClientEvents
 * @property {Status} state
 * @property {Message} message       of any channel
 * @property {number} roundtrip      ms, of a ping
 * @property {TidegateError} error   that no command or subscription got
 * @property {{frame: Frame, sent: boolean}} frame  every frame that passes, tokens included
 */

/**
 * @template [T=any]
 * @typedef {object} SubscriptionEvents
 * @property {Message<T>} message
 * @property {Subscribed} subscribed    confirmed, the first time and after each reconnect
 * @property {{channel: string}} gap    messages may have been missed here
 * @property {{channel: string, user: string, session?: string, info?: any}} join
 * @property {{channel: string, user: string, session?: string, info?: any}} leave
 * @property {{channel: string}} presence_changed  more came and went than is told one by one
 * @property {TidegateError} error      it is over: subscribe anew if that makes sense
 */

const defaults = {
  minDelay: 500,
  maxDelay: 20_000,
  openTimeout: 6_000,
  commandTimeout: 30_000,
  upgradeAfter: 10_000,
  maxQueued: 1_000,
  transports: /** @type {Transport[]} */ (["websocket", "sse", "longpoll"]),
};

const tries = { websocket: 2, sse: 1, longpoll: 1 };
const overlapTime = 1_000;
const stableAfter = 10_000;
const longestUpgradePause = 300_000;
const longestTimer = 2 ** 31 - 1;

/** @type {Pick<Status, "transport" | "session" | "user" | "node" | "roundTrip">} */
const nobody = { transport: "", session: "", user: "", node: "", roundTrip: undefined };

/** Close codes after which connecting again would not help. */
const final = new Map([
  [1008, "forbidden"],
  [4001, "unauthenticated"],
  [4009, "disconnected"],
]);

/**
 * What a command fails with. Its code is one of the gateway's (bad_request,
 * unauthenticated, forbidden, not_found, too_large, rate_limited,
 * limit_exceeded, unavailable, internal) or one of the client's own: timeout
 * (not confirmed in time, it may or may not have happened), closed,
 * disconnected (by the backend), gone (unsubscribed by the gateway), queue_full
 * (too much waits for a connection), no_token (the token function failed).
 */
export class TidegateError extends Error {
  /** @param {string} code @param {string} message @param {ErrorOptions} [options] */
  constructor(code, message, options) {
    super(message || code, options);
    this.name = "TidegateError";
    this.code = code;
  }
}

/** @template {object} Events */
export class Emitter {
  /** @type {Map<string, Set<(event: any) => void>>} */
  #handlers = new Map();

  /**
   * Calls handler on every event of a type, until the returned function is
   * called.
   * @template {keyof Events & string} Type
   * @param {Type} type
   * @param {(event: Events[Type]) => void} handler
   * @returns {() => void}
   */
  on(type, handler) {
    const handlers = this.#handlers.get(type) ?? new Set();
    this.#handlers.set(type, handlers.add(handler));
    return () => void handlers.delete(handler);
  }

  /**
   * A handler that throws stops no other; its error surfaces as uncaught.
   * @internal
   * @template {keyof Events & string} Type
   * @param {Type} type
   * @param {Events[Type]} event
   */
  emit(type, event) {
    for (const handler of [...(this.#handlers.get(type) ?? [])]) {
      try {
        handler(event);
      } catch (error) {
        setTimeout(() => { throw error; });
      }
    }
  }
}

/**
 * A client of a gateway. It connects at once and stays connected until close().
 * @extends {Emitter<ClientEvents>}
 */
export class Tidegate extends Emitter {
  #base;
  #options;
  /** @type {Status} */
  #status = { state: "connecting", transport: "", session: "", user: "", node: "", reconnects: 0, retryIn: 0, reason: "" };

  /** @type {Map<string, Channel>} */
  #channels = new Map();
  /** @type {Map<number, Pending>} Commands without an answer, in the order given. */
  #pending = new Map();
  #lastID = 0;

  /** @type {Session | null} The one that commands go to. */
  #session = null;
  /** @type {Session | null} The one being opened. */
  #next = null;
  /** @type {Overlap | null} While two sessions tell the same messages. */
  #overlap = null;

  #rung = 0; // into options.transports
  #failures = 0; // to open, on this rung
  #attempt = 0; // to connect, since it last lasted
  #connects = 0;
  #upgradePause;
  /** @type {Record<string, ReturnType<typeof setTimeout> | undefined>} */
  #timers = {};
  /** @type {[EventTarget, string, () => void][]} */
  #watches = [];

  /**
   * @param {string | URL} [url] of the gateway; this page's origin if left out
   * @param {Options} [options]
   */
  constructor(url = "/", options = {}) {
    super();
    this.#base = baseURL(url);
    this.#options = { ...defaults, ...options, transports: possible(options) };
    this.#upgradePause = this.#options.upgradeAfter;
    this.#watchNetwork();
    this.#after("connect", 0, () => this.#open());
  }

  /** @returns {Readonly<Status>} */
  get status() {
    return this.#status;
  }

  /**
   * Subscribes to a channel. Several subscriptions to one channel share it on
   * the wire: the first one's cursor and echo hold, the recent messages are each
   * one's own.
   *
   * @template [T=any]
   * @param {string} name
   * @param {(message: Message<T>) => void} [onMessage]
   * @param {SubscribeOptions} [options]
   * @returns {Subscription<T>}
   */
  subscribe(name, onMessage, options = {}) {
    const known = this.#channels.get(name);
    const channel = known ?? this.#addChannel(name, options);
    const subscription = new Subscription(this, name, () => this.#leave(channel, subscription));
    channel.subscriptions.add(subscription);
    if (onMessage) subscription.on("message", onMessage);
    if (channel.confirmed) queueMicrotask(() => subscription.emit("subscribed", { recovered: true, cursor: channel.cursor, from: "" }));
    if (known && options.recent) subscription.recall(options.recent);
    return subscription;
  }

  /**
   * Publishes data, a JSON value or bytes, and resolves once the gateway has
   * confirmed it. Over a lost connection it is sent again, and still published
   * once: that is what the key is for.
   *
   * @param {string} channel
   * @param {any} data
   * @param {PublishOptions} [options]
   * @returns {Promise<{cursor: string}>} its place in the history
   */
  async publish(channel, data, { event, tags, transient, traceparent, key = uniqueKey(), kind } = {}) {
    const reply = await this.#command({ type: "publish", channel, ...encodePayload(data, kind), event, tags, transient, traceparent, key });
    return { cursor: reply.cursor ?? "" };
  }

  /** @param {string} channel @returns {Promise<Member[]>} who is there, by user */
  async presence(channel) {
    return (await this.#command({ type: "presence", channel })).members ?? [];
  }

  /**
   * The newest messages of a channel, or those after a cursor.
   * @template [T=any]
   * @param {string} channel
   * @param {{limit?: number, cursor?: string}} [options]
   * @returns {Promise<History<T>>}
   */
  async history(channel, { limit, cursor } = {}) {
    const reply = await this.#command({ type: "history", channel, limit, cursor });
    const messages = (reply.messages ?? []).map((/** @type {Frame} */ m) => decodeMessage({ ...m, channel }));
    return { messages, cursor: reply.cursor ?? "", complete: reply.recovered !== false };
  }

  /** Ends the connection; what was not confirmed yet fails with the code closed. */
  close() {
    this.#stop(new TidegateError("closed", "the client was closed"));
  }

  /** Connects again after close(), or after the gateway sent the client away. */
  connect() {
    if (this.#status.state !== "closed") return;
    this.#watchNetwork();
    this.#open();
  }

  // Connections

  #open(transport = this.#options.transports[this.#rung]) {
    if (this.#next) return;
    this.#clear("connect");
    if (!this.#session) this.#setStatus({ state: "connecting", retryIn: 0 });
    const session = new Session(this.#base, this.#options, transport, () => ++this.#lastID, {
      ready: () => this.#takeOver(session),
      renewed: () => this.#setStatus({ user: session.user }),
      noToken: (cause) => this.emit("error", new TidegateError("no_token", `the token function failed: ${cause}`, { cause })),
      traffic: (frame, sent) => this.emit("frame", { frame, sent }),
      frame: (frame) => this.#receive(session, frame),
      answer: (frame) => this.#answer(frame),
      roundTrip: (ms) => this.#noteRoundTrip(session, ms),
      end: (end) => this.#ended(session, end),
    });
    this.#next = session;
    session.start();
  }

  /** @param {Session} session that was welcomed */
  #takeOver(session) {
    if (this.#session) {
      this.#overlap = new Overlap(session);
      session.settled = () => this.#switchTo(session);
    }
    for (const channel of this.#channels.values()) this.#subscribe(session, channel);
    if (!this.#session || session.isSettled) this.#switchTo(session);
  }

  /** @param {Session} session that stands in for the one so far, if any */
  #switchTo(session) {
    if (this.#next !== session) return;
    const previous = this.#session;
    this.#next = null;
    this.#session = session;
    session.settled = () => {};
    previous?.retire(overlapTime);
    this.#noteSuccess(session);
    this.#sendPending();
  }

  /** @param {Session} session */
  #noteSuccess(session) {
    this.#failures = 0;
    this.#rung = Math.max(0, this.#options.transports.indexOf(session.transport));
    this.#after("stable", stableAfter, () => { this.#attempt = 0; });
    this.#planUpgrade();
    const { transport, id, user, node } = session;
    const reconnects = ++this.#connects - 1;
    this.#setStatus({ state: "connected", transport, session: id, user, node, reconnects, retryIn: 0, roundTrip: session.roundTrip });
  }

  #planUpgrade() {
    if (this.#rung === 0) {
      this.#upgradePause = this.#options.upgradeAfter;
      return this.#clear("upgrade");
    }
    this.#after("upgrade", this.#upgradePause, () => this.#open(this.#options.transports[0]));
    this.#upgradePause = Math.min(this.#upgradePause * 2, longestUpgradePause);
  }

  /** @param {Session} session @param {End} end */
  #ended(session, end) {
    if (end.code === 1009) this.#failLargest(session);
    for (const pending of this.#pending.values()) if (pending.session === session) pending.session = null;
    if (session === this.#next) return this.#openFailed(session, end);
    if (session !== this.#session) return this.#overlapEnded();
    this.#session = null;
    this.#clear("stable");
    this.#clear("reconnect");
    this.#overlapEnded();
    if (this.#isFinal(end)) return this.#stop(finalError(end));
    if (this.#next?.isReady) return this.#switchTo(this.#next);
    if (end.unfit) this.#descend();
    if (this.#next) this.#setStatus({ state: "connecting", ...nobody });
    else this.#connectLater(end);
  }

  #overlapEnded() {
    this.#overlap = null;
    this.#sendPending();
  }

  /** @param {Session} session @param {End} end */
  #openFailed(session, end) {
    this.#next = null;
    this.#overlap = null;
    if (this.#isFinal(end)) return this.#stop(finalError(end));
    if (this.#session) return this.#retryReplacing(session);
    const { transports } = this.#options;
    if (end.unreachable) this.#rung = 0;
    else if (++this.#failures >= tries[transports[this.#rung]]) this.#descend();
    this.#connectLater(end);
  }

  #descend() {
    this.#failures = 0;
    this.#rung = (this.#rung + 1) % this.#options.transports.length;
  }

  /** @param {Session} session that was to replace the present one */
  #retryReplacing(session) {
    if (this.#rung > 0 && session.transport === this.#options.transports[0]) return this.#planUpgrade();
    this.#after("reconnect", this.#delay(), () => this.#open());
  }

  /** @param {End} end */
  #connectLater(end) {
    const retryIn = this.#delay();
    this.#setStatus({ state: "waiting", ...nobody, retryIn, reason: end.reason });
    this.#after("connect", retryIn, () => this.#open());
  }

  /** Exponential back-off with full jitter. */
  #delay() {
    const { minDelay, maxDelay } = this.#options;
    return Math.random() * Math.min(maxDelay, minDelay * 2 ** this.#attempt++);
  }

  /** @param {End} end */
  #isFinal(end) {
    if (end.reason === "no sign of life") return false; // the page slept, and is awake now
    return final.has(end.code) || (end.code === 4002 && typeof this.#options.token !== "function");
  }

  /** @param {TidegateError} error */
  #stop(error) {
    if (this.#status.state === "closed") return;
    for (const name of Object.keys(this.#timers)) this.#clear(name);
    for (const [target, type, handler] of this.#watches.splice(0)) target.removeEventListener(type, handler);
    const sessions = [this.#session, this.#next];
    this.#session = this.#next = this.#overlap = null;
    for (const session of sessions) session?.close();
    this.#setStatus({ state: "closed", ...nobody, reason: error.message });
    for (const pending of [...this.#pending.values()]) this.#fail(pending, error);
    if (error.code !== "closed") this.emit("error", error);
  }

  #watchNetwork() {
    const wake = () => this.#wake();
    const page = /** @type {any} */ (globalThis);
    this.#watch(page, "online", wake);
    this.#watch(page, "offline", () => this.#session?.ping());
    this.#watch(page.document, "visibilitychange", () => page.document.visibilityState === "visible" && wake());
  }

  /** @param {EventTarget | undefined} target @param {string} type @param {() => void} handler */
  #watch(target, type, handler) {
    if (!target?.addEventListener) return;
    target.addEventListener(type, handler);
    this.#watches.push([target, type, handler]);
  }

  #wake() {
    if (this.#status.state === "waiting") this.#open();
    this.#session?.ping();
  }

  // Channels

  /** @param {string} name @param {SubscribeOptions} options */
  #addChannel(name, options) {
    const channel = new Channel(name, options);
    this.#channels.set(name, channel);
    for (const session of [this.#session, this.#next]) if (session?.isReady) this.#subscribe(session, channel);
    return channel;
  }

  /** @param {Session} session @param {Channel} channel */
  #subscribe(session, channel) {
    session.subscribe(channel, (reply) => {
      if (this.#channels.get(channel.name) !== channel) return;
      if (reply.type === "error") return this.#subscribeFailed(session, channel, reply);
      this.#confirm(channel, reply);
    });
  }

  /** @param {Channel} channel @param {Frame} reply */
  #confirm(channel, reply) {
    const { cursor = "" } = reply;
    const from = channel.cursor;
    const missed = from ? reply.recovered === false : channel.confirmed && !this.#overlap;
    // What was recovered has yet to come: until then the old cursor is the true one.
    if (!from) channel.cursor = cursor;
    channel.confirmed = true;
    channel.tell("subscribed", { recovered: !missed, cursor, from });
    if (missed) channel.tell("gap", { channel: channel.name });
  }

  /** @param {Session} session @param {Channel} channel @param {Frame} reply */
  #subscribeFailed(session, channel, reply) {
    const again = () => session.isReady && this.#channels.get(channel.name) === channel && this.#subscribe(session, channel);
    if (passing.has(reply.code)) return void setTimeout(again, 1_000 + Math.random() * 2_000);
    this.#drop(channel, errorOf(reply));
  }

  /** @param {Channel} channel @param {TidegateError} error */
  #drop(channel, error) {
    this.#channels.delete(channel.name);
    channel.tell("error", error);
  }

  /** @param {Channel} channel @param {Subscription} subscription */
  #leave(channel, subscription) {
    channel.subscriptions.delete(subscription);
    if (channel.subscriptions.size > 0 || this.#channels.get(channel.name) !== channel) return;
    this.#channels.delete(channel.name);
    for (const session of [this.#session, this.#next]) if (session?.isReady) session.unsubscribe(channel.name);
  }

  /** @param {Session} session @param {Frame} frame that answers no command */
  #receive(session, frame) {
    if (this.#status.state === "closed") return;
    const channel = this.#channels.get(frame.channel ?? "");
    switch (frame.type) {
      case "message": return this.#deliver(session, channel, frame);
      case "subscribed": return this.#confirm(channel ?? this.#addServerChannel(frame), frame);
      case "unsubscribed": return channel && this.#drop(channel, new TidegateError(frame.code || "gone", frame.reason));
      case "join":
      case "leave":
      case "presence_changed":
      case "gap": return channel?.tell(frame.type, /** @type {any} */ (frame));
      case "reconnect": return this.#after("reconnect", Math.random() * (frame.within ?? 0) * 1_000, () => this.#open());
      case "error": return this.emit("error", errorOf(frame));
    }
  }

  /** A backend put this user on a channel: it is kept across reconnects, too. @param {Frame} frame */
  #addServerChannel(frame) {
    const channel = new Channel(frame.channel ?? "", {});
    this.#channels.set(channel.name, channel);
    return channel;
  }

  /** @param {Session} session @param {Channel | undefined} channel @param {Frame} frame */
  #deliver(session, channel, frame) {
    if (channel?.cursor && session.isResuming(channel.name)) return; // it comes again, in order
    if (frame.cursor ? channel && reaches(channel.cursor, frame.cursor) : this.#overlap?.isDouble(session, frame)) return;
    if (channel && frame.cursor) channel.cursor = frame.cursor;
    const message = decodeMessage(frame);
    channel?.hear(message);
    this.emit("message", message);
  }

  // Commands

  /** @param {Frame} frame @returns {Promise<Frame>} the answer */
  #command(frame) {
    return new Promise((resolve, reject) => {
      if (this.#status.state === "closed") return reject(new TidegateError("closed", "the client is closed"));
      const { maxQueued, commandTimeout } = this.#options;
      if (!this.#session && this.#pending.size >= maxQueued) return reject(new TidegateError("queue_full", `${maxQueued} commands wait for a connection already`));
      const pending = new Pending({ ...frame, id: ++this.#lastID }, resolve, reject);
      pending.timer = setTimeout(() => this.#fail(pending, timeoutError(frame)), Math.min(commandTimeout, longestTimer));
      this.#pending.set(pending.id, pending);
      if (this.#session) pending.sendOver(this.#session);
    });
  }

  #sendPending() {
    for (const pending of this.#pending.values()) if (!pending.session && this.#session) pending.sendOver(this.#session);
  }

  /** @param {Frame} frame that answers a command */
  #answer(frame) {
    const pending = this.#pending.get(frame.id ?? 0);
    if (!pending) return;
    if (frame.type === "error" && passing.has(frame.code)) return this.#sendAgain(pending);
    if (frame.type === "error") return this.#fail(pending, errorOf(frame));
    this.#settle(pending);
    pending.resolve(frame);
  }

  /** @param {Pending} pending that failed for now */
  #sendAgain(pending) {
    const pause = Math.random() * Math.min(5_000, 250 * 2 ** pending.sent);
    setTimeout(() => { pending.session = null; this.#sendPending(); }, pause);
  }

  /** The frame that was too large for the gateway is sure to be the largest. @param {Session} session */
  #failLargest(session) {
    const sent = [...this.#pending.values()].filter((pending) => pending.session === session);
    const largest = sent.sort((a, b) => b.size - a.size)[0];
    if (largest) this.#fail(largest, new TidegateError("too_large", "the message is larger than the gateway allows"));
  }

  /** @param {Pending} pending @param {TidegateError} error */
  #fail(pending, error) {
    this.#settle(pending);
    pending.reject(error);
  }

  /** @param {Pending} pending */
  #settle(pending) {
    clearTimeout(pending.timer);
    this.#pending.delete(pending.id);
  }

  // Small things

  /** @param {Session} session @param {number} ms */
  #noteRoundTrip(session, ms) {
    if (session !== this.#session) return;
    this.#status = { ...this.#status, roundTrip: ms };
    this.emit("roundtrip", ms);
  }

  /** @param {Partial<Status>} change */
  #setStatus(change) {
    this.#status = { ...this.#status, ...change };
    this.emit("state", this.#status);
  }

  /** @param {string} name of the one timer of its kind @param {number} ms @param {() => void} action */
  #after(name, ms, action) {
    this.#clear(name);
    this.#timers[name] = setTimeout(action, Math.min(ms, longestTimer));
  }

  /** @param {string} name */
  #clear(name) {
    clearTimeout(this.#timers[name]);
    delete this.#timers[name];
  }
}

/**
 * One subscriber of a channel.
 * @template [T=any]
 * @extends {Emitter<SubscriptionEvents<T>>}
 */
export class Subscription extends Emitter {
  #client;
  #leave;

  /** @type {Message[] | null} What waits until the recent messages are here. */
  #held = null;

  /** @internal @param {Pick<Tidegate, "publish" | "presence" | "history">} client @param {string} channel @param {() => void} leave */
  constructor(client, channel, leave) {
    super();
    this.channel = channel;
    this.#client = client;
    this.#leave = leave;
  }

  /** Ends it, at once. */
  unsubscribe() {
    this.#leave();
  }

  /** @internal @param {Message<T>} message */
  hear(message) {
    if (this.#held) this.#held.push(message);
    else this.emit("message", message);
  }

  /** Begins with recent messages, on a channel that others are on already. @internal @param {number} limit */
  async recall(limit) {
    this.#held = [];
    const { messages, cursor } = await this.history({ limit }).catch(() => ({ messages: [], cursor: "" }));
    const later = this.#held.filter((message) => !message.cursor || !reaches(cursor, message.cursor));
    this.#held = null;
    for (const message of [...messages, ...later]) this.emit("message", message);
  }

  /** @param {T} data @param {PublishOptions} [options] */
  publish(data, options) {
    return this.#client.publish(this.channel, data, options);
  }

  presence() {
    return this.#client.presence(this.channel);
  }

  /** @param {{limit?: number, cursor?: string}} [options] @returns {Promise<History<T>>} */
  history(options) {
    return this.#client.history(this.channel, options);
  }
}

/** What the client knows of a channel that it is on. */
class Channel {
  /** @type {Set<Subscription>} */
  subscriptions = new Set();
  confirmed = false;

  /** @param {string} name @param {SubscribeOptions} options */
  constructor(name, { cursor = "", recent = 0, echo = true }) {
    this.name = name;
    this.cursor = cursor; // of the last message delivered
    this.recent = recent;
    this.echo = echo;
  }

  /** @param {Message} message */
  hear(message) {
    for (const subscription of [...this.subscriptions]) subscription.hear(message);
  }

  /** @template {keyof SubscriptionEvents} Type @param {Type} type @param {SubscriptionEvents[Type]} event */
  tell(type, event) {
    for (const subscription of [...this.subscriptions]) subscription.emit(type, event);
  }
}

/** @param {string} last @param {string} cursor @returns {boolean} whether who is at last has what is at cursor */
function reaches(last, cursor) {
  const [epoch, offset] = cursor.split(":");
  const [lastEpoch, lastOffset] = last.split(":");
  return epoch === lastEpoch && Number(offset) <= Number(lastOffset);
}

/** A command that waits for its answer. */
class Pending {
  /** @type {Session | null} The one it was sent over. */
  session = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  timer;
  sent = 0;

  /** @param {Frame & {id: number}} frame @param {(answer: Frame) => void} resolve @param {(error: Error) => void} reject */
  constructor(frame, resolve, reject) {
    this.frame = frame;
    this.id = frame.id;
    this.resolve = resolve;
    this.reject = reject;
  }

  get size() {
    return JSON.stringify(this.frame).length;
  }

  /** @param {Session} session */
  sendOver(session) {
    this.session = session;
    this.sent++;
    session.send(this.frame);
  }
}

/**
 * The moment in which an old and a new session tell the same messages. Those
 * without a cursor are told apart by count: what one has said n times more
 * often than the other, the other's next n are doubles of.
 */
class Overlap {
  /** @type {Map<string, number>} How many more the newcomer has said. */
  #lead = new Map();
  #newcomer;

  /** @param {Session} newcomer */
  constructor(newcomer) {
    this.#newcomer = newcomer;
  }

  /** Not every transport tells who published and when. @param {Session} session @param {Frame} frame */
  isDouble(session, { channel, event = "", data, text, binary }) {
    const message = JSON.stringify([channel, event, data, text, binary]);
    const step = session === this.#newcomer ? 1 : -1;
    const lead = this.#lead.get(message) ?? 0;
    this.#lead.set(message, lead + step);
    return lead * step < 0;
  }
}

/** @param {Options} options @returns {Transport[]} those that can be had here, of those wanted */
function possible({ transports = defaults.transports, WebSocket = globalThis.WebSocket }) {
  const here = transports.filter((transport) => transport !== "websocket" || WebSocket);
  if (here.length > 0) return here;
  throw new TidegateError("bad_request", "there is no WebSocket here: give one in the options, or allow other transports");
}

/** @param {string | URL} url @returns {URL} ending in a slash */
function baseURL(url) {
  const base = new URL(url, globalThis.location?.href);
  base.protocol = base.protocol.replace("ws", "http");
  base.pathname = base.pathname.replace(/\/ws$/, "").replace(/\/?$/, "/");
  base.search = base.hash = "";
  return base;
}

/** @param {any} data @param {"json" | "text" | "binary"} [kind] @returns {object} */
function encodePayload(data, kind) {
  if (data instanceof ArrayBuffer) data = new Uint8Array(data);
  if (kind === "binary" || data instanceof Uint8Array) return { binary: toBase64(data) };
  if (kind === "text") return { text: String(data) };
  return { data: data === undefined ? null : data };
}

/** @param {Frame} frame @returns {Message} */
function decodeMessage(frame) {
  const { channel = "", event = "", tags = {}, user = "", info, cursor = "", time } = frame;
  const kind = frame.binary !== undefined ? "binary" : frame.text !== undefined ? "text" : "json";
  const data = kind === "binary" ? fromBase64(frame.binary) : kind === "text" ? frame.text : frame.data;
  return { channel, data, kind, event, tags, user, info, cursor, time: time === undefined ? undefined : new Date(time) };
}

/** @param {Uint8Array} bytes */
function toBase64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** A UUID, also where the page is not a secure context and has no crypto.randomUUID. */
function uniqueKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {Frame} frame */
function errorOf(frame) {
  return new TidegateError(frame.code ?? "internal", frame.message ?? "");
}

/** @param {End} end */
function finalError(end) {
  return new TidegateError(final.get(end.code) ?? "unauthenticated", end.reason);
}

/** @param {Frame} frame */
function timeoutError(frame) {
  return new TidegateError("timeout", `the ${frame.type} on ${frame.channel} was not answered in time`);
}
