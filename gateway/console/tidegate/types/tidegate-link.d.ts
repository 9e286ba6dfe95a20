export type Frame = {
    type: string;
    id?: number;
    channel?: string;
    [field: string]: any;
};
export type End = {
    /**
     * WebSocket close code; 1006 if there is none, 0 if the client closed it
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
    send: (frame: Frame) => void;
    close: () => void;
};
export type LinkEvents = {
    frame: (frame: Frame) => void;
    end: (end: End) => void;
};
export type Dial = (base: URL, options: import("./tidegate.js").Options, on: LinkEvents) => Link;
