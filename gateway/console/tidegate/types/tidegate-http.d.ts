export type Dial = import("./tidegate-link.js").Dial;
export type Frame = import("./tidegate-link.js").Frame;
export type LinkEvents = import("./tidegate-link.js").LinkEvents;
export type Options = import("./tidegate.js").Options;
/** @type {Dial} */
export declare const dialEvents: Dial;
/** @type {Dial} */
export declare const dialPoll: Dial;
/**
 * Reads the data of an event stream's events:
 * https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export declare class EventParser {
    #private;
    /** @param {(data: string) => void} on */
    constructor(on: (data: string) => void);
    /** @param {string} part of the stream */
    feed(part: string): void;
}
