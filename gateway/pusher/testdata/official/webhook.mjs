// Checks requests.json, webhooks as the gateway has sent them, by the official library of
// backends.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { backend } from "./clients.mjs";

for (const { headers, body } of JSON.parse(readFileSync("requests.json"))) {
  const lower = Object.fromEntries(Object.entries(headers).map(([name, [value]]) => [name.toLowerCase(), value]));
  const webhook = backend.webhook({ headers: lower, rawBody: body });
  assert.ok(webhook.isValid(), body);
  assert.ok(webhook.getEvents().length > 0);
  assert.ok(Math.abs(webhook.getTime() - Date.now()) < 600_000);
  const forged = backend.webhook({ headers: lower, rawBody: body.replace("channel", "chanel") });
  assert.ok(!forged.isValid());
}
process.exit(0);
