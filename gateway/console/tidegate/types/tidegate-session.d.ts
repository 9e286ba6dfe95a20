export type Options = import("./tidegate.js").Options;
export type Dial = import("./tidegate-link.js").Dial;
export type End = import("./tidegate-link.js").End;
export type Frame = import("./tidegate-link.js").Frame;
export type Link = import("./tidegate-link.js").Link;
/**
 * @typedef {import("./tidegate.js").Options} Options
 * @typedef {import("./tidegate-link.js").Dial} Dial
 * @typedef {import("./tidegate-link.js").End} End
 * @typedef {import("./tidegate-link.js").Frame} Frame
 * @typedef {import("./tidegate-link.js").Link} Link
 */
/** Codes of temporary errors: the client sends the command again. */
export declare const passing: Set<string>;
export type SessionEvents = {
    /**
     * connected and authenticated
     */
    ready: () => void;
    /**
     * authenticated again
     */
    renewed: () => void;
    /**
     * the token function failed
     */
    noToken: (error: unknown) => void;
    /**
     * a frame that answers no command
     */
    frame: (frame: Frame) => void;
    /**
     * an answer to a command
     */
    answer: (frame: Frame) => void;
    /**
     * every frame sent or received
     */
    traffic: (frame: Frame, sent: boolean) => void;
    roundTrip: (ms: number) => void;
    /**
     * once
     */
    end: (end: End) => void;
};
/**
 * @typedef {object} SessionEvents
 * @property {() => void} ready                    connected and authenticated
 * @property {() => void} renewed                  authenticated again
 * @property {(error: unknown) => void} noToken     the token function failed
 * @property {(frame: Frame) => void} frame        a frame that answers no command
 * @property {(frame: Frame) => void} answer       an answer to a command
 * @property {(frame: Frame, sent: boolean) => void} traffic  every frame sent or received
 * @property {(ms: number) => void} roundTrip
 * @property {(end: End) => void} end              once
 */
/** One session on a node, from connecting to its end, with its token and pings. */
export declare class Session {
    #private;
    transport: import("./tidegate.js").Transport;
    id: string;
    user: string;
    node: string;
    /** @type {number | undefined} ms */
    roundTrip: number | undefined;
    isReady: boolean;
    settled: () => void;
    /**
     * @param {URL} base @param {Required<Pick<Options, "openTimeout">> & Options} options
     * @param {import("./tidegate.js").Transport} transport @param {() => number} newID @param {SessionEvents} on
     */
    constructor(base: URL, options: Required<Pick<Options, "openTimeout">> & Options, transport: import("./tidegate.js").Transport, newID: () => number, on: SessionEvents);
    get isSettled(): boolean;
    start(): Promise<void>;
    /** @param {{name: string, cursor: string, recent: number, echo: boolean}} channel @param {(reply: Frame) => void} onReply */
    subscribe({ name, cursor, recent, echo }: {
        name: string;
        cursor: string;
        recent: number;
        echo: boolean;
    }, onReply: (reply: Frame) => void): void;
    /** @param {string} channel @returns {boolean} whether missed messages have yet to arrive */
    isResuming(channel: string): boolean;
    /** @param {string} channel */
    unsubscribe(channel: string): void;
    /** @param {Frame} frame */
    send(frame: Frame): void;
    /** Sends a ping. If there is no answer, the session ends. */
    ping(): void;
    /** Closes after a delay, so that messages in flight still arrive. @param {number} ms */
    retire(ms: number): void;
    close(): void;
}
