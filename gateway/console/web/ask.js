// HTTP requests to the gateway.

/**
 * @param {string | URL} url @param {RequestInit} options
 * @returns {Promise<any>} the answer's JSON; rejects with the gateway's error message and code
 */
export async function ask(url, options) {
  const answer = await fetch(url, options).catch(() => { throw new Error("The gateway cannot be reached."); });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(body.error?.message ?? `The gateway answered with status ${answer.status}`), { code: body.error?.code });
  return body;
}
