// One session on a gateway node, and the WebSocket that usually carries it.
// Part of tidegate.js, which starts a new session when the last one has ended.

import { Timers, claimsOf, passing } from "./tidegate-link.js";

/**
 * @typedef {import("./tidegate.js").Options} Options
 * @typedef {import("./tidegate-link.js").Dial} Dial
 * @typedef {import("./tidegate-link.js").End} End
 * @typedef {import("./tidegate-link.js").Frame} Frame
 * @typedef {import("./tidegate-link.js").Link} Link
 */

/**
 * @typedef {object} Pending  a command that waits for its answer
 * @property {Frame & {id: number}} frame
 * @property {(answer: Frame) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {Session | null} session  the one it was sent over
 * @property {number} sent       how often
 * @property {number} firstSent  ms; not a number until it is sent
 */

/**
 * @typedef {object} SessionEvents
 * @property {() => void} ready                    connected and authenticated
 * @property {() => void} settled                  all subscribes are answered
 * @property {() => void} renewed                  authenticated again
 * @property {(error: unknown) => void} noToken     the token function failed
 * @property {(frame: Frame) => void} frame        a frame that is not for the session itself
 * @property {(frame: Frame, sent: boolean) => void} traffic  every frame sent or received
 * @property {(ms: number) => void} roundTrip
 * @property {(end: End) => void} end              once
 */

/** One session on a node, from connecting to its end, with its token and pings. */
export class Session {
  id = "";
  user = "";
  node = "";
  /** @type {number | undefined} ms */
  roundTrip;
  isReady = false;

  #base;
  #options;
  #newID;
  #on;
  /** @type {Link | null} */
  #link = null;
  #ended = false;
  #pingEvery = 25_000;
  #pingedAt = 0;
  /** @type {Map<number, (reply: Frame) => void>} Answers that only this session can get. */
  #replies = new Map();
  /** @type {Map<string, number>} The command that each channel's subscribe waits for; 0 if it is to be sent again. */
  #subscribing = new Map();
  #timers = new Timers();

  /**
   * @param {URL} base @param {Required<Pick<Options, "openTimeout">> & Options} options
   * @param {import("./tidegate.js").Transport} transport @param {() => number} newID @param {SessionEvents} on
   */
  constructor(base, options, transport, newID, on) {
    this.#base = base;
    this.#options = options;
    this.transport = transport;
    this.#newID = newID;
    this.#on = on;
  }

  get isSettled() {
    return ![...this.#subscribing.values()].some(Boolean);
  }

  async start() {
    try {
      const token = await this.#token();
      if (this.#ended) return;
      this.#timers.after("silence", this.#options.openTimeout, () => this.#end({ code: 1006, reason: "no answer", unfit: true }));
      const dial = await dialOf(this.transport);
      if (this.#ended) return;
      this.#link = dial(this.#base, this.#options, { frame: (frame) => this.#received(frame, token), end: (end) => this.#end(end) });
    } catch (error) {
      this.#end({ code: 1006, reason: String(error), unreachable: true });
    }
  }

  /**
   * Subscribes to a channel, or unsubscribes from it if none is given.
   * @param {string} name @param {{cursor: string, recent: number, echo: boolean} | undefined} channel @param {(reply: Frame) => void} onReply
   */
  follow(name, channel, onReply) {
    this.#subscribing.delete(name);
    if (!channel) return this.#request({ type: "unsubscribe", channel: name }, onReply);
    const { cursor, recent, echo } = channel;
    const id = this.#request({ type: "subscribe", channel: name, [cursor ? "cursor" : "recent"]: cursor || recent || undefined, echo: echo ? undefined : false }, (reply) => {
      if (this.#subscribing.get(name) === id) { // it is the latest one
        if (passing.has(reply.code)) this.#subscribing.set(name, 0);
        else this.#subscribing.delete(name);
      }
      onReply(reply);
      if (this.isSettled) this.#on.settled();
    });
    this.#subscribing.set(name, id);
  }

  /** @param {string} channel @returns {boolean} whether missed messages have yet to arrive */
  isResuming(channel) {
    return this.#subscribing.has(channel);
  }

  /** @param {Frame} frame */
  send(frame) {
    this.#link?.send(frame);
    this.#on.traffic(frame, true);
  }

  /** Sends a ping. If there is no answer, the session ends. */
  ping() {
    if (!this.isReady || this.#timers.has("silence")) return;
    this.#pingedAt = performance.now();
    this.send({ type: "ping" });
    this.#timers.after("silence", Math.min(this.#pingEvery, 10_000), () => this.#end({ code: 1006, reason: "no sign of life" }));
  }

  close() {
    this.#end({ code: 0, reason: "" });
  }

  /** @param {Frame} frame @param {string} token */
  #received(frame, token) {
    if (this.#ended) return;
    this.#on.traffic(frame, false);
    this.#timers.clear("silence");
    if (frame.type === "pong") return this.#ponged();
    const { id = 0 } = frame;
    const reply = this.#replies.get(id);
    this.#replies.delete(id);
    if (reply) return reply(frame);
    if (frame.type === "welcome") return this.#welcomed(frame, token);
    this.#on.frame(frame);
  }

  /** @param {Frame} frame @param {string} token */
  #welcomed(frame, token) {
    this.#identify(frame);
    if (frame.ping > 0) this.#pingEvery = frame.ping * 1_000;
    if (token) this.#authenticate(token, () => this.#begin());
    else this.#begin();
  }

  #begin() {
    this.isReady = true;
    this.#beat(1_000);
    this.#on.ready();
  }

  /** @param {number} ms until the first ping */
  #beat(ms) {
    this.#timers.after("beat", ms, () => { this.ping(); this.#beat(this.#pingEvery); });
  }

  #ponged() {
    if (!this.#pingedAt) return;
    this.roundTrip = performance.now() - this.#pingedAt;
    this.#pingedAt = 0;
    this.#on.roundTrip(this.roundTrip);
  }

  /** @param {Frame} welcome */
  #identify({ session, user, node }) {
    this.id = session ?? this.id;
    this.user = user ?? "";
    this.node = node ?? this.node;
  }

  /** @param {string} token @param {() => void} done */
  #authenticate(token, done) {
    this.#timers.after("auth", this.#options.openTimeout, () => this.#end({ code: 1006, reason: "no answer" }));
    this.#request({ type: "auth", token }, (reply) => {
      this.#timers.clear("auth");
      const passes = passing.has(reply.code) || reply.code === "limit_exceeded" || reply.code === "internal";
      if (reply.type === "error") return this.#end({ code: passes ? 1006 : 4001, reason: reply.message, unreachable: passes });
      this.#identify(reply);
      this.#planRenewal(token);
      done();
    });
  }

  /** The gateway has just accepted the token: if it seems to have expired, this clock is wrong. @param {string} token */
  #planRenewal(token) {
    const { exp, iat = Infinity } = claimsOf(token);
    if (typeof exp !== "number" || typeof this.#options.token !== "function") return;
    const life = iat < exp ? (exp - iat) * 1_000 : Infinity;
    const seen = exp * 1_000 - Date.now();
    const left = seen > 0 ? Math.min(seen, life) : life;
    const least = Math.min(this.isReady ? 30_000 : 1_000, life * 0.8); // isReady: it is already a renewal
    this.#timers.after("renewal", Math.max(least, left - Math.min(60_000, left * 0.2)), () => this.#renew());
  }

  async #renew() {
    try {
      const token = await this.#token();
      if (!this.#ended) this.#authenticate(token, () => this.#on.renewed());
    } catch {
      this.#timers.after("renewal", 5_000, () => this.#renew());
    }
  }

  /** Returns the token. If the token function fails or takes too long, the application is told. */
  async #token() {
    const { token, openTimeout } = this.#options;
    if (typeof token !== "function") return token ?? "";
    const late = new Promise((_, reject) => this.#timers.after("token", openTimeout, () => reject(new Error(`the token function took longer than ${openTimeout} ms`))));
    try {
      return (await Promise.race([token(), late])) ?? "";
    } catch (error) {
      if (!this.#ended) this.#on.noToken(error);
      throw error;
    } finally {
      this.#timers.clear("token");
    }
  }

  /** @param {Frame} frame @param {(reply: Frame) => void} onReply @returns {number} the command's id */
  #request(frame, onReply) {
    const id = this.#newID();
    this.#replies.set(id, onReply);
    this.send({ ...frame, id });
    return id;
  }

  /** @param {End} end */
  #end(end) {
    if (this.#ended) return;
    this.#ended = true;
    this.isReady = false;
    this.#timers.clearAll();
    this.#link?.close();
    this.#on.end(end);
  }
}

/** @param {import("./tidegate.js").Transport} transport @returns {Promise<Dial>} */
async function dialOf(transport) {
  if (transport === "websocket") return dialWebSocket;
  const http = await import("./tidegate-http.js").catch(() => Promise.reject("tidegate-http.js cannot be loaded"));
  return (base, options, on) => new (transport === "sse" ? http.EventsLink : http.PollLink)(base, options, on);
}

/** @type {Dial} */
function dialWebSocket(base, options, on) {
  const url = new URL("ws", base);
  url.protocol = base.protocol.replace("http", "ws");
  /** @type {WebSocket} */
  const socket = new (options.WebSocket ?? WebSocket)(url, "tidegate.v1");
  let opened = false;
  socket.onerror = () => {}; // onclose reports the error; without this handler, ws on Node throws
  socket.onopen = () => { opened = true; };
  socket.onmessage = ({ data }) => on.frame(JSON.parse(data));
  socket.onclose = ({ code, reason }) => on.end({ code, reason, unfit: !opened });
  return {
    send: (frame) => { if (socket.readyState === 1) socket.send(JSON.stringify(frame)); },
    close: () => socket.close(1000),
  };
}
