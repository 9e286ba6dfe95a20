// Applies deltas as the official client does. DELTAS is a file of [before, delta, after],
// each in base64, one on a line.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import WebSocket from 'ws'
import * as json from 'centrifuge'
import * as protobuf from 'centrifuge/build/protobuf'

const codecOf = ({ Centrifuge }) => new Centrifuge('ws://127.0.0.1:1', { websocket: WebSocket })._codec
const lines = readFileSync(process.env.DELTAS, 'utf8').trim().split('\n').map((line) => JSON.parse(line).map((b) => new Uint8Array(Buffer.from(b, 'base64'))))

test('makes messages of deltas', () => {
  const codec = codecOf(protobuf)
  for (const [before, data, after] of lines) {
    assert.deepEqual(Buffer.from(codec.applyDeltaIfNeeded({ data, delta: true }, before).newPrevValue), Buffer.from(after))
  }
})

test('makes messages of deltas in strings', () => {
  const codec = codecOf(json)
  let made = 0
  for (const [before, delta, after] of lines) {
    try { JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(after)) } catch { continue }
    const data = new TextDecoder('utf-8', { fatal: true }).decode(delta)
    assert.deepEqual(Buffer.from(codec.applyDeltaIfNeeded({ data, delta: true }, before).newPrevValue), Buffer.from(after))
    made++
  }
  assert.ok(made > 0)
})
