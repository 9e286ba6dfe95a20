/** @typedef {import("./tidegate-session.js").Dial} Dial */
/** @type {Dial} */ export const dialEvents = (b, o, on) => { throw new Error("x"); };
/** @type {Dial} */ export const dialPoll = (b, o, on) => { throw new Error("x"); };
