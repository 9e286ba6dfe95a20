export type Tab = {
    port: MessagePort;
    /**
     * it can be asked for one
     */
    hasToken: boolean;
    /**
     * by the tab's own number
     */
    subscriptions: Map<number, import("./tidegate.js").Subscription>;
};
