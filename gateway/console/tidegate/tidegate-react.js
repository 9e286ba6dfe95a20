// React hooks for a Tidegate client that the application creates.

import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { TidegateError } from "./tidegate.js";
import { oneAtATime, unconnected } from "./tidegate-link.js";

/**
 * @typedef {Pick<import("./tidegate.js").Tidegate, "status" | "subscribe" | "publish" | "presence"> & {on: (type: "state", handler: (status: Status) => void) => () => void} | null} Client
 *   a Tidegate or a SharedTidegate; null where there is none yet, as on a server that renders the page
 * @typedef {import("./tidegate.js").Member} Member
 * @typedef {import("./tidegate.js").PublishOptions} PublishOptions
 * @typedef {import("./tidegate.js").Status} Status
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
/** @type {{members: Member[], error: TidegateError | null}} */
const nobody = { members: [], error: null };
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
  const { view, begin, change } = useViewOf(tide, channel, /** @type {Omit<ChannelView<T>, "publish">} */ (nothing));
  useEffect(() => {
    begin();
    if (!tide) return;
    const subscription = tide.subscribe(channel, undefined, { recent, echo });
    subscription.on("message", (message) => change(({ messages }) => ({ messages: [...messages, message].slice(-keep || Infinity) })));
    subscription.on("subscribed", () => change(() => ({ subscribed: true })));
    subscription.on("gap", () => change(() => ({ missed: true })));
    subscription.on("error", (error) => change(() => ({ subscribed: false, error })));
    return () => subscription.unsubscribe();
  }, [tide, channel, recent, keep, echo]);
  const publish = useCallback(async (/** @type {T} */ data, /** @type {PublishOptions | undefined} */ options) => {
    if (!tide) throw new TidegateError("closed", "there is no client yet");
    return tide.publish(channel, data, options);
  }, [tide, channel]);
  return { ...view, publish };
}

/**
 * Returns the members of a channel, and keeps them up to date while the component is mounted.
 * @param {Client} tide
 * @param {string} channel
 * @returns {{members: Member[], error: TidegateError | null}}
 */
export function usePresence(tide, channel) {
  const { view, begin, change } = useViewOf(tide, channel, nobody);
  useEffect(() => {
    begin();
    if (!tide) return;
    let over = false;
    const ask = oneAtATime(async () => over || tide.presence(channel).then(
      (members) => over || change(() => ({ members, error: null })),
      (error) => over || change(() => ({ members: [], error }))));
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

/**
 * A view of a channel. A component that changes to another channel does not show the view of the one before.
 * @template View
 * @param {Client} tide @param {string} channel @param {View} initial
 */
function useViewOf(tide, channel, initial) {
  const [seen, setSeen] = useState({ tide, channel, view: initial });
  const isCurrent = (/** @type {typeof seen} */ one) => one.tide === tide && one.channel === channel;
  return {
    view: isCurrent(seen) ? seen.view : initial,
    begin: () => setSeen({ tide, channel, view: initial }),
    change: (/** @type {(view: View) => Partial<View>} */ to) => setSeen((one) => isCurrent(one) ? { ...one, view: { ...one.view, ...to(one.view) } } : one),
  };
}

/** @param {Client} tide @returns {Readonly<Status>} of its connection */
export function useStatus(tide) {
  const subscribe = useCallback((/** @type {() => void} */ changed) => tide?.on("state", changed) ?? (() => {}), [tide]);
  return useSyncExternalStore(subscribe, () => tide?.status ?? unconnected, () => unconnected);
}
