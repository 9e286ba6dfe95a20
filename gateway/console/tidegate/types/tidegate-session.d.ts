export type Options = import("./tidegate.js").Options;
export type Dial = import("./tidegate-link.js").Dial;
export type End = import("./tidegate-link.js").End;
export type Frame = import("./tidegate-link.js").Frame;
export type Link = import("./tidegate-link.js").Link;
/** Codes of an error that may pass: the command is worth sending again. */
export declare const passing: Set<string>;
export type SessionEvents = {
    /**
     * welcomed and authenticated
     */
    ready: () => void;
    /**
     * authenticated anew
     */
    renewed: () => void;
    /**
     * the application gave none
     */
    noToken: (error: unknown) => void;
    /**
     * that answers no command
     */
    frame: (frame: Frame) => void;
    /**
     * to a command of the client's
     */
    answer: (frame: Frame) => void;
    /**
     * every frame, as it passes
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
 * @property {() => void} ready                    welcomed and authenticated
 * @property {() => void} renewed                  authenticated anew
 * @property {(error: unknown) => void} noToken     the application gave none
 * @property {(frame: Frame) => void} frame        that answers no command
 * @property {(frame: Frame) => void} answer       to a command of the client's
 * @property {(frame: Frame, sent: boolean) => void} traffic  every frame, as it passes
 * @property {(ms: number) => void} roundTrip
 * @property {(end: End) => void} end              once
 */
/** One session at a node: from dialling to the end, with its token and its pings. */
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
    /** @param {string} channel @returns {boolean} whether what was missed there has yet to come */
    isResuming(channel: string): boolean;
    /** @param {string} channel */
    unsubscribe(channel: string): void;
    /** @param {Frame} frame */
    send(frame: Frame): void;
    /** Asks for a sign of life; without one the session has ended. */
    ping(): void;
    /** Ends soon, so that what is on its way still arrives. @param {number} ms */
    retire(ms: number): void;
    close(): void;
}
