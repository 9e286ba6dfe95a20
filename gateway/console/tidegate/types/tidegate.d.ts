export type Frame = import("./tidegate-link.js").Frame;
export type End = import("./tidegate-link.js").End;
export type Transport = "websocket" | "sse" | "longpoll";
export type Options = {
    /**
     * Who the client is. A function is asked again before the token expires, and
     * on every connect.
     */
    token?: string | (() => string | Promise<string>);
    /**
     * What to try, best first. "websocket" is left out where there is no WebSocket.
     */
    transports?: Transport[];
    /**
     * Whether requests carry cookies, as in fetch: "include" is for a gateway on
     * another origin. A WebSocket always carries what the browser has for it.
     */
    credentials?: "omit" | "same-origin" | "include";
    /**
     * commands that may wait while there is no connection
     */
    maxQueued?: number;
    /**
     * ms, the first reconnect comes within it
     */
    minDelay?: number;
    /**
     * ms, no reconnect waits longer
     */
    maxDelay?: number;
    /**
     * ms, for a connection to open, and for the token function
     */
    openTimeout?: number;
    /**
     * ms, for a publish to be confirmed, reconnects included
     */
    commandTimeout?: number;
    /**
     * ms, until a better transport is tried again; doubles up to 5 minutes
     */
    upgradeAfter?: number;
    /**
     * a WebSocket class, where there is no global one
     */
    WebSocket?: any;
    /**
     * likewise
     */
    fetch?: typeof globalThis.fetch;
};
export type SubscribeOptions = {
    /**
     * go on after this message
     */
    cursor?: string;
    /**
     * begin with so many messages of the history; a cursor counts more
     */
    recent?: number;
    /**
     * false leaves out what this client publishes (only a WebSocket can)
     */
    echo?: boolean;
};
export type PublishOptions = {
    /**
     * a name beside the data
     */
    event?: string;
    /**
     * more names beside it, at most 1,024 bytes as JSON
     */
    tags?: Record<string, string>;
    /**
     * true keeps it out of the history; who misses it is not told
     */
    transient?: boolean;
    /**
     * what has led to it (W3C Trace Context), where the gateway traces messages
     */
    traceparent?: string;
    /**
     * published once, however often it is sent; made if left out
     */
    key?: string;
    /**
     * bytes are binary, all else is JSON
     */
    kind?: "json" | "text" | "binary";
};
export type Message<T = any> = {
    channel: string;
    /**
     * a JSON value, a string, or a Uint8Array, as kind says
     */
    data: T;
    kind: "json" | "text" | "binary";
    /**
     * the name beside the data, or ""
     */
    event: string;
    /**
     * more names beside it
     */
    tags: Record<string, string>;
    /**
     * who published it; "" for a backend or an anonymous client
     */
    user: string;
    /**
     * what the user's token says of them, on a channel with presence
     */
    info?: any;
    /**
     * its place in the channel's history; "" where none is kept
     */
    cursor: string;
    /**
     * when a node took it, where that is told
     */
    time?: Date;
};
export type History<T = any> = {
    messages: Message<T>[];
    cursor: string;
    complete: boolean;
};
export type Status = {
    state: "connecting" | "connected" | "waiting" | "closed";
    /**
     * "" while there is none
     */
    transport: Transport | "";
    session: string;
    /**
     * "" for an anonymous client
     */
    user: string;
    node: string;
    /**
     * ms, of the last ping
     */
    roundTrip?: number;
    /**
     * how often the connection was replaced by another
     */
    reconnects: number;
    /**
     * ms, while waiting
     */
    retryIn: number;
    /**
     * why the last connection ended, or could not be opened
     */
    reason: string;
};
export type Member = {
    user: string;
    session?: string;
    info?: any;
    sessions: number;
};
export type Subscribed = {
    /**
     * false: messages may have been missed
     */
    recovered: boolean;
    /**
     * the cursor that it goes on after; "" if it begins here
     */
    from: string;
    /**
     * where it begins, or, if it goes on, the channel's end now
     */
    cursor: string;
};
export type ClientEvents = {
    state: Status;
    /**
     * of any channel
     */
    message: Message;
    /**
     * ms, of a ping
     */
    roundtrip: number;
    /**
     * that no command or subscription got
     */
    error: TidegateError;
    /**
     * every frame that passes, tokens included
     */
    frame: {
        frame: Frame;
        sent: boolean;
    };
};
export type SubscriptionEvents<T = any> = {
    message: Message<T>;
    /**
     * confirmed, the first time and after each reconnect
     */
    subscribed: Subscribed;
    /**
     * messages may have been missed here
     */
    gap: {
        channel: string;
    };
    join: {
        channel: string;
        user: string;
        session?: string;
        info?: any;
    };
    leave: {
        channel: string;
        user: string;
        session?: string;
        info?: any;
    };
    /**
     * more came and went than is told one by one
     */
    presence_changed: {
        channel: string;
    };
    /**
     * it is over: subscribe anew if that makes sense
     */
    error: TidegateError;
};
/**
 * What a command fails with. Its code is one of the gateway's (bad_request,
 * unauthenticated, forbidden, not_found, too_large, rate_limited,
 * limit_exceeded, unavailable, internal) or one of the client's own: timeout
 * (not confirmed in time, it may or may not have happened), closed,
 * disconnected (by the backend), gone (unsubscribed by the gateway), queue_full
 * (too much waits for a connection), no_token (the token function failed).
 */
export declare class TidegateError extends Error {
    code: string;
    /** @param {string} code @param {string} message @param {ErrorOptions} [options] */
    constructor(code: string, message: string, options?: ErrorOptions);
}
/** @template {object} Events */
export declare class Emitter<Events extends object> {
    #private;
    /**
     * Calls handler on every event of a type, until the returned function is
     * called.
     * @template {keyof Events & string} Type
     * @param {Type} type
     * @param {(event: Events[Type]) => void} handler
     * @returns {() => void}
     */
    on<Type extends keyof Events & string>(type: Type, handler: (event: Events[Type]) => void): () => void;
}
/**
 * A client of a gateway. It connects at once and stays connected until close().
 * @extends {Emitter<ClientEvents>}
 */
export declare class Tidegate extends Emitter<ClientEvents> {
    #private;
    /**
     * @param {string | URL} [url] of the gateway; this page's origin if left out
     * @param {Options} [options]
     */
    constructor(url?: string | URL, options?: Options);
    /** @returns {Readonly<Status>} */
    get status(): Readonly<Status>;
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
    subscribe<T = any>(name: string, onMessage?: (message: Message<T>) => void, options?: SubscribeOptions): Subscription<T>;
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
    publish(channel: string, data: any, { event, tags, transient, traceparent, key, kind }?: PublishOptions): Promise<{
        cursor: string;
    }>;
    /** @param {string} channel @returns {Promise<Member[]>} who is there, by user */
    presence(channel: string): Promise<Member[]>;
    /**
     * The newest messages of a channel, or those after a cursor.
     * @template [T=any]
     * @param {string} channel
     * @param {{limit?: number, cursor?: string}} [options]
     * @returns {Promise<History<T>>}
     */
    history<T = any>(channel: string, { limit, cursor }?: {
        limit?: number;
        cursor?: string;
    }): Promise<History<T>>;
    /** Ends the connection; what was not confirmed yet fails with the code closed. */
    close(): void;
    /** Connects again after close(), or after the gateway sent the client away. */
    connect(): void;
}
/**
 * One subscriber of a channel.
 * @template [T=any]
 * @extends {Emitter<SubscriptionEvents<T>>}
 */
export declare class Subscription<T = any> extends Emitter<SubscriptionEvents<T>> {
    #private;
    channel: string;
    /** Ends it, at once. */
    unsubscribe(): void;
    /** @param {T} data @param {PublishOptions} [options] */
    publish(data: T, options?: PublishOptions): Promise<{
        cursor: string;
    }>;
    presence(): Promise<Member[]>;
    /** @param {{limit?: number, cursor?: string}} [options] @returns {Promise<History<T>>} */
    history(options?: {
        limit?: number;
        cursor?: string;
    }): Promise<History<T>>;
}
