// React hooks for a Tidegate client that the application creates.

import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { oneAtATime } from "./tidegate-link.js";

/**
 * @typedef {Pick<import("./tidegate.js").Tidegate, "status" | "subscribe" | "publish" | "presence"> & {on: (type: "state", handler: (status: Status) => void) => () => void}} Client
 *   a Tidegate or a SharedTidegate
 * @typedef {import("./tidegate.js").Member} Member
 * @typedef {import("./tidegate.js").PublishOptions} PublishOptions
 * @typedef {import("./tidegate.js").Status} Status
 * @typedef {import("./tidegate.js").TidegateError} TidegateError
 */

/**
 * @template [T=any]
 * @typedef {import("./tidegate.js").Message<T>} Message
 */

/**
 * @template [T=any]
 * @typedef {object} ChannelView
 * @property {Message<T>[]} messages    the latest messages, oldest first
 * @property {boolean} subscribed       false until the subscription is confirmed, and after an error
 * @property {boolean} missed           true if messages may be missing
 * @property {TidegateError | null} error  why the subscription ended
 * @property {(data: T, options?: PublishOptions) => Promise<{cursor: string}>} publish
 */

const nothing = { messages: [], subscribed: false, missed: false, error: null };
const presenceEvery = 15_000; // ms, on channels that do not announce joins and leaves

/**
 * Subscribes while the component is mounted.
 * @template [T=any]
 * @param {Client} tide
 * @param {string} channel
 * @param {{recent?: number, keep?: number, echo?: boolean}} [options]
 *   recent: how many messages of the history to start with; keep: how many messages to keep, 200 by default
 * @returns {ChannelView<T>}
 */
export function useChannel(tide, channel, { recent, keep = 200, echo } = {}) {
  const [view, setView] = useState(/** @type {Omit<ChannelView<T>, "publish">} */ (nothing));
  useEffect(() => {
    const change = (/** @type {Partial<ChannelView<T>>} */ part) => setView((before) => ({ ...before, ...part }));
    const hear = (/** @type {Message<T>} */ message) => setView((before) => ({ ...before, messages: [...before.messages, message].slice(-keep) }));
    setView(nothing);
    const subscription = tide.subscribe(channel, hear, { recent, echo });
    subscription.on("subscribed", () => change({ subscribed: true }));
    subscription.on("gap", () => change({ missed: true }));
    subscription.on("error", (error) => change({ subscribed: false, error }));
    return () => subscription.unsubscribe();
  }, [tide, channel, recent, keep, echo]);
  const publish = useCallback((/** @type {T} */ data, /** @type {PublishOptions | undefined} */ options) => tide.publish(channel, data, options), [tide, channel]);
  return { ...view, publish };
}

/**
 * Returns the members of a channel, and keeps them up to date while the component is mounted.
 * @param {Client} tide
 * @param {string} channel
 * @returns {{members: Member[], error: TidegateError | null}}
 */
export function usePresence(tide, channel) {
  const [view, setView] = useState(/** @type {{members: Member[], error: TidegateError | null}} */ ({ members: [], error: null }));
  useEffect(() => {
    let over = false;
    const ask = oneAtATime(async () => over || tide.presence(channel).then(
      (members) => over || setView({ members, error: null }),
      (error) => over || setView({ members: [], error })));
    setView({ members: [], error: null });
    const subscription = tide.subscribe(channel);
    for (const event of /** @type {const} */ (["subscribed", "join", "leave", "presence_changed"])) subscription.on(event, ask);
    const timer = setInterval(ask, presenceEvery);
    return () => {
      over = true;
      clearInterval(timer);
      subscription.unsubscribe();
    };
  }, [tide, channel]);
  return view;
}

/** @param {Client} tide @returns {Readonly<Status>} of its connection */
export function useStatus(tide) {
  const subscribe = useCallback((/** @type {() => void} */ changed) => tide.on("state", changed), [tide]);
  return useSyncExternalStore(subscribe, () => tide.status, () => tide.status);
}
