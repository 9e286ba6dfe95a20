import { Emitter, Subscription, Tidegate } from "./tidegate.js";
export type Options = import("./tidegate.js").Options;
export type Status = import("./tidegate.js").Status;
export type SharedEvents = Pick<import("./tidegate.js").ClientEvents, "state" | "roundtrip" | "error">;
export type SharedOptions = {
    /**
     * tabs share a connection if their gateway and name are the same:
     * give what the user is known by, or one user's tab hears what another's hears
     */
    name?: string;
};
export type Told = {
    type: "event" | "told" | "answer" | "token";
    id: number;
    event: any;
    detail?: any;
};
/**
 * @typedef {import("./tidegate.js").Options} Options
 * @typedef {import("./tidegate.js").Status} Status
 * @typedef {Pick<import("./tidegate.js").ClientEvents, "state" | "roundtrip" | "error">} SharedEvents
 *
 * @typedef {object} SharedOptions
 * @property {string} [name]  tabs share a connection if their gateway and name are the same:
 *   give what the user is known by, or one user's tab hears what another's hears
 *
 * @typedef {object} Told   by the worker
 * @property {"event" | "told" | "answer" | "token"} type
 * @property {number} id
 * @property {any} event
 * @property {any} [detail]
 */
/**
 * Returns a client whose connection is shared by all tabs of this origin, or, where
 * the browser cannot do that, one with its own. The options of the first tab hold.
 * @param {string | URL} [url]
 * @param {Omit<Options, "WebSocket" | "fetch"> & SharedOptions} [options]
 * @returns {Tidegate | SharedTidegate}
 */
export declare function shareTidegate(url?: string | URL, { name, ...options }?: Omit<Options, "WebSocket" | "fetch"> & SharedOptions): Tidegate | SharedTidegate;
/**
 * A tab's view of the connection that all tabs share.
 * @extends {Emitter<SharedEvents>}
 */
export declare class SharedTidegate extends Emitter<SharedEvents> {
    #private;
    /** @returns {Readonly<Status>} of the connection that is shared */
    get status(): Readonly<Status>;
    /**
     * @template [T=any]
     * @param {string} name
     * @param {(message: import("./tidegate.js").Message<T>) => void} [onMessage]
     * @param {import("./tidegate.js").SubscribeOptions} [options]
     * @returns {Subscription<T>}
     */
    subscribe<T = any>(name: string, onMessage?: (message: import("./tidegate.js").Message<T>) => void, options?: import("./tidegate.js").SubscribeOptions): Subscription<T>;
    /** @param {string} channel @param {any} data @param {import("./tidegate.js").PublishOptions} [options] @returns {Promise<{cursor: string}>} */
    publish(channel: string, data: any, options?: import("./tidegate.js").PublishOptions): Promise<{
        cursor: string;
    }>;
    /** @param {string} channel @returns {Promise<import("./tidegate.js").Member[]>} */
    presence(channel: string): Promise<import("./tidegate.js").Member[]>;
    /** @template [T=any] @param {string} channel @param {{limit?: number, cursor?: string}} [options] @returns {Promise<import("./tidegate.js").History<T>>} */
    history<T = any>(channel: string, options?: {
        limit?: number;
        cursor?: string;
    }): Promise<import("./tidegate.js").History<T>>;
    /** Leaves the connection to the other tabs; it ends with the last of them. */
    close(): void;
    /** Connects again after the gateway sent the clients away. */
    connect(): void;
}
