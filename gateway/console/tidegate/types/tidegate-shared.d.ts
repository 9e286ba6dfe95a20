import { Emitter, Subscription, Tidegate } from "./tidegate.js";
export type Options = import("./tidegate.js").Options;
export type Status = import("./tidegate.js").Status;
export type SharedEvents = Pick<import("./tidegate.js").ClientEvents, "state" | "roundtrip" | "error">;
export type SharedClient = Pick<Tidegate, "status" | "subscribe" | "publish" | "presence" | "history" | "close" | "connect"> & Pick<Emitter<SharedEvents>, "on">;
export type SharedOptions = {
    /**
     * tabs with the same gateway and name share a connection: pass the
     * user's id, or the tab of one user receives the messages of another
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
export declare function shareTidegate(url?: string | URL, { name, ...options }?: Omit<Options, "WebSocket" | "fetch"> & SharedOptions): SharedClient;
/**
 * A tab's view of the connection that all tabs share.
 * @extends {Emitter<SharedEvents>}
 */
export declare class SharedTidegate extends Emitter<SharedEvents> {
    #private;
    /** @returns {Readonly<Status>} of the shared connection */
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
    /** Leaves the shared connection, which closes with the last tab. */
    close(): void;
    /** Connects again after the gateway disconnected the clients. */
    connect(): void;
}
