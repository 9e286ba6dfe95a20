import { TidegateError } from "./tidegate.js";
export type Client = (Pick<import("./tidegate.js").Tidegate, "status" | "subscribe" | "publish" | "presence"> & {
    on: (type: "state", handler: (status: Status) => void) => () => void;
}) | null;
export type Member = import("./tidegate.js").Member;
export type PublishOptions = import("./tidegate.js").PublishOptions;
export type Status = import("./tidegate.js").Status;
export type Message<T = any> = import("./tidegate.js").Message<T>;
export type ChannelView<T = any> = {
    /**
     * the latest messages, oldest first
     */
    messages: Message<T>[];
    /**
     * false until the subscription is confirmed, and after an error
     */
    subscribed: boolean;
    /**
     * true if messages may be missing
     */
    missed: boolean;
    /**
     * why the subscription ended
     */
    error: TidegateError | null;
    publish: (data: T, options?: PublishOptions) => Promise<{
        cursor: string;
    }>;
};
/**
 * Subscribes while the component is mounted.
 * @template [T=any]
 * @param {Client} tide
 * @param {string} channel
 * @param {{recent?: number, keep?: number, echo?: boolean}} [options]
 *   recent: how many messages of the history to start with; keep: how many messages to keep, 200 by default
 * @returns {ChannelView<T>}
 */
export declare function useChannel<T = any>(tide: Client, channel: string, { recent, keep, echo }?: {
    recent?: number;
    keep?: number;
    echo?: boolean;
}): ChannelView<T>;
/**
 * Returns the members of a channel, and keeps them up to date while the component is mounted.
 * @param {Client} tide
 * @param {string} channel
 * @returns {{members: Member[], error: TidegateError | null}}
 */
export declare function usePresence(tide: Client, channel: string): {
    members: Member[];
    error: TidegateError | null;
};
/** @param {Client} tide @returns {Readonly<Status>} of its connection */
export declare function useStatus(tide: Client): Readonly<Status>;
