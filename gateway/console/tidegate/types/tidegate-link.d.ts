export type Frame = {
    type: string;
    id?: number;
    channel?: string;
    [field: string]: any;
};
export type End = {
    /**
     * WebSocket close code; 1006 if there is none
     */
    code: number;
    reason: string;
    /**
     * this transport does not work here
     */
    unfit?: boolean;
    /**
     * no transport works at the moment
     */
    unreachable?: boolean;
};
export type Link = {
    transport: string;
    send: (frame: Frame) => void;
    close: () => void;
};
export type LinkEvents = {
    frame: (frame: Frame) => void;
    end: (end: End) => void;
};
export type Dial = (base: URL, options: import("./tidegate.js").Options, on: LinkEvents) => Link;
/**
 * @typedef {{type: string, id?: number, channel?: string, [field: string]: any}} Frame
 *   One frame of the native protocol.
 *
 * @typedef {object} End
 *   Why a connection ended.
 * @property {number} code        WebSocket close code; 1006 if there is none
 * @property {string} reason
 * @property {boolean} [unfit]        this transport does not work here
 * @property {boolean} [unreachable]  no transport works at the moment
 *
 * @typedef {object} Link
 *   A transport's connection. It ends once, and reports nothing after that.
 * @property {string} transport
 * @property {(frame: Frame) => void} send
 * @property {() => void} close
 *
 * @typedef {{frame: (frame: Frame) => void, end: (end: End) => void}} LinkEvents
 * @typedef {(base: URL, options: import("./tidegate.js").Options, on: LinkEvents) => Link} Dial
 */
/**
 * Returns a function that asks one question at a time, and after it at most one more, however
 * often it is called meanwhile.
 * @param {() => Promise<unknown>} ask one that does not fail
 * @returns {() => Promise<void>}
 */
export declare function oneAtATime(ask: () => Promise<unknown>): () => Promise<void>;
/** Timers with names. */
export declare class Timers {
    #private;
    /** @param {string} name replaces an earlier timer of this name @param {number} ms @param {() => void} action */
    after(name: string, ms: number, action: () => void): void;
    /** @param {string} name @returns {boolean} */
    has(name: string): boolean;
    /** @param {string} name */
    clear(name: string): void;
    clearAll(): void;
}
/** @param {string} token @returns {{exp?: number, iat?: number, sub?: string}} claims of a JWT, unverified; {} for any other token */
export declare function claimsOf(token: string): {
    exp?: number;
    iat?: number;
    sub?: string;
};
/** @param {string} text base64 */
export declare function fromBase64(text: string): Uint8Array<ArrayBuffer>;
