export type Tab = {
    port: MessagePort;
    /**
     * whether the tab can provide a token
     */
    hasToken: boolean;
    /**
     * by the tab's own id
     */
    subscriptions: Map<number, import("./tidegate.js").Subscription>;
};
