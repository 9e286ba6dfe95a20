// What a transport's connection is to a session, and what is read of a token on both
// sides of it. Part of tidegate.js.

/**
 * @typedef {{type: string, id?: number, channel?: string, [field: string]: any}} Frame
 *   One frame of the native protocol.
 *
 * @typedef {object} End
 *   Why a connection ended.
 * @property {number} code        WebSocket close code; 1006 if there was none
 * @property {string} reason
 * @property {boolean} [unfit]        this transport does not work here
 * @property {boolean} [unreachable]  nothing works here at the moment
 *
 * @typedef {object} Link
 *   A transport's connection. It ends once, after which it is silent.
 * @property {string} transport
 * @property {(frame: Frame) => void} send
 * @property {() => void} close
 *
 * @typedef {{frame: (frame: Frame) => void, end: (end: End) => void}} LinkEvents
 * @typedef {(base: URL, options: import("./tidegate.js").Options, on: LinkEvents) => Link} Dial
 */

/** @param {string} token @returns {{exp?: number, sub?: string}} of a JWT, unverified; nothing of anything else */
export function claimsOf(token) {
  try {
    const bytes = fromBase64(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(bytes)) ?? {};
  } catch {
    return {};
  }
}

/** @param {string} text in base64 */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
