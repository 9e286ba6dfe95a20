// What an application does with the official client, on two nodes. TRANSPORT, FORMAT, ONE
// and TWO say how and where.
import { test, describe, after } from 'node:test'
import assert from 'node:assert/strict'
import WebSocket from 'ws'
import EventSource from 'eventsource'
import * as json from 'centrifuge'
import * as protobuf from 'centrifuge/build/protobuf'

const transport = process.env.TRANSPORT
const binary = process.env.FORMAT === 'protobuf'
const { Centrifuge } = binary ? protobuf : json
const nodes = [process.env.ONE, process.env.TWO]

// An application's data: JSON as it is, or as bytes.
const encode = (value) => (binary ? new TextEncoder().encode(JSON.stringify(value)) : value)
const decode = (data) => (binary ? JSON.parse(new TextDecoder().decode(data)) : data)

const clients = []
after(() => clients.forEach((c) => c.disconnect()))

function client(node, options = {}) {
  const endpoint = `${transport === 'websocket' ? nodes[node].replace('http', 'ws') : nodes[node]}/connection/${transport}`
  const c = new Centrifuge([{ transport, endpoint }], {
    websocket: WebSocket, eventsource: EventSource, emulationEndpoint: nodes[1 - node] + '/emulation',
    minReconnectDelay: 50, maxReconnectDelay: 200, ...options,
  })
  clients.push(c)
  return c
}

async function connected(node, options) {
  const c = client(node, options)
  c.connect()
  await c.ready(20000)
  return c
}

// listen subscribes, and keeps what is heard.
async function listen(c, channel, options) {
  const sub = c.newSubscription(channel, options)
  sub.heard = []
  sub.told = []
  sub.on('publication', (ctx) => sub.heard.push({ ...ctx, data: decode(ctx.data) }))
  for (const event of ['subscribed', 'subscribing', 'unsubscribed', 'join', 'leave', 'error']) {
    sub.on(event, (ctx) => sub.told.push({ event, ...ctx }))
  }
  sub.subscribe()
  await sub.ready(20000)
  return sub
}

const reply = (sub) => sub.told.find((t) => t.event === 'subscribed')

async function until(what, holds) {
  for (let i = 0; i < 2000; i++) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  assert.fail('waited in vain: ' + what)
}

const once = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve))
const run = process.env.TRANSPORT + process.env.FORMAT
const channel = (name) => `${name}-${run}`
const api = (path, init) => fetch(nodes[0] + '/api' + path, { method: 'POST', ...init }).then(async (r) => assert.ok(r.ok, await r.text()))
const restart = (c) => (transport === 'websocket' ? c._transport._transport : c._transport).close(3000) // as a cut link would

test('connects with a token and without', async () => {
  const alice = client(0, { token: 'user alice' })
  const told = once(alice, 'connected')
  alice.connect()
  const said = await told
  assert.match(said.client, /^[a-z0-9]+$/)
  assert.equal(said.transport, transport)
  await connected(1)
})

test('a bad token ends the attempts', async () => {
  const mallory = client(0, { token: 'mallory' })
  const told = once(mallory, 'disconnected')
  mallory.connect()
  assert.equal((await told).code, 101)
})

test('hears on one node what is published on the other, with who published', async () => {
  const alice = await connected(0, { token: 'user alice' })
  const bob = await connected(1, { token: 'user bob' })
  const [a, b] = [await listen(alice, channel('chat')), await listen(bob, channel('chat'))]
  await a.publish(encode({ text: 'hi' }))
  await bob.publish(channel('chat'), encode([1, null, 'two']))
  await until('both have both', () => a.heard.length === 2 && b.heard.length === 2)
  assert.deepEqual(b.heard.map((p) => p.data), [{ text: 'hi' }, [1, null, 'two']])
  assert.equal(b.heard[0].info.user, 'alice')
  assert.deepEqual(decode(b.heard[0].info.connInfo), { name: 'alice' })
  assert.equal(Number(b.heard[1].offset), Number(b.heard[0].offset) + 1)
})

test('is told what it may not do', async () => {
  const c = await connected(0)
  const sub = c.newSubscription('closed:door')
  const told = once(sub, 'unsubscribed')
  sub.subscribe()
  assert.equal((await told).code, 101)
  await assert.rejects(c.publish('closed:door', encode(1)), (e) => e.code === 101)
  const known = await connected(0, { token: 'user carol' })
  await assert.rejects(known.publish('closed:door', encode(1)), (e) => e.code === 103)
  await assert.rejects(c.rpc('anything', encode(1)), (e) => e.code === 104)
  await assert.rejects(c.history('plain:a', { limit: 1 }), (e) => e.code === 108)
  await assert.rejects(c.presence('plain:a'), (e) => e.code === 108)
})

// Tokens of which the ends are waited for, at once.
describe('tokens', { concurrency: true }, () => {
  test('renews its token before it ends, and gets a new one for one that has', async () => {
    const asked = []
    const getToken = async () => { asked.push(1); return 'user frida' }
    const c = await connected(0, { token: 'brief frida', getToken })
    let left = false
    c.on('connecting', () => { left = true })
    await until('the renewal', () => asked.length === 1)
    await c.publish(channel('chat'), encode('still here'))
    assert.equal(left, false)
    await connected(1, { token: 'old', getToken })
    assert.equal(asked.length, 2)
  })

  test('gets another token for one that has ended already when it renews with it', async () => {
    const secret = 'secret:' + run + '-late'
    const oneOld = (token) => { let asked = 0; return async () => (++asked === 2 ? 'old' : token) }
    const c = await connected(0, { getToken: oneOld('brief gina') })
    const ends = []
    c.on('disconnected', (ctx) => ends.push(ctx))
    let connections = 1
    c.on('connected', () => { connections++ })
    const sub = await listen(await connected(1, { token: 'user alice' }), secret, { getToken: oneOld(`channel ${secret} alice guest`) })
    await until('the next connection', () => ends.length > 0 || connections === 2)
    await until('the next subscription', () => sub.told.filter((t) => t.event === 'subscribed').length === 2 || sub.state === 'unsubscribed')
    assert.deepEqual([ends, sub.told.filter((t) => t.event === 'unsubscribed')], [[], []])
  })

  test('shows a token for a channel, and renews it before it ends', async () => {
    const secret = 'secret:' + run
    const c = await connected(0, { token: 'user alice' })
    let asked = 0
    const sub = await listen(c, secret, { getToken: async () => { asked++; return `channel ${secret} alice ${asked === 1 ? 'guest' : 'host'}` } })
    const shows = (info, role) => assert.deepEqual([decode(info.connInfo), decode(info.chanInfo)], [{ name: 'alice' }, { role }])
    const present = async () => Object.values((await sub.presence()).clients)[0]
    shows(await present(), 'guest')
    await until('the renewal', async () => decode((await present()).chanInfo).role === 'host')
    assert.equal(asked, 2)
    await c.publish(secret, encode('still here'))
    await until('the publication', () => sub.heard.length === 1)
    shows(sub.heard[0].info, 'host') // as the newer token says
    shows(await present(), 'host')
    assert.deepEqual(sub.told.map((t) => t.event), ['subscribing', 'subscribed'])
    const other = c.newSubscription(secret + '-2', { token: `channel ${secret} alice guest` })
    const told = once(other, 'unsubscribed')
    other.subscribe()
    assert.equal((await told).code, 103)
  })

  test('subscribes anew when the token for a channel has ended', async () => {
    const secret = 'secret:' + run + '-brief'
    const c = await connected(0, { token: 'user alice' })
    let asked = 0
    const sub = await listen(c, secret, {
      getToken: async () => {
        if (++asked === 2) throw new Error('the backend is away')
        return `channel ${secret} alice guest`
      },
    })
    await until('the end', () => sub.told.some((t) => t.event === 'subscribing' && t.code === 2501))
    await until('the next beginning', () => sub.told.filter((t) => t.event === 'subscribed').length === 2)
  })
})

test('tells the backend more than a token, and is told more', async () => {
  const alice = client(0, { token: 'user alice', data: encode({ from: 'home' }) })
  const told = once(alice, 'connected')
  alice.connect()
  assert.deepEqual(decode((await told).data), { said: { from: 'home' } })
  const room = channel('shown')
  const sub = await listen(alice, room, { data: encode({ role: 'guest' }) })
  assert.deepEqual(decode(reply(sub).data), { shown: { role: 'guest' } })
  await sub.publish(encode(1))
  await until('the publication', () => sub.heard.length === 1)
  for (const info of [sub.heard[0].info, Object.values((await sub.presence()).clients)[0]]) {
    assert.deepEqual([decode(info.connInfo), decode(info.chanInfo)], [{ name: 'alice' }, { role: 'guest' }])
  }
})

test('calls the backend', async () => {
  const c = await connected(0)
  assert.deepEqual(decode((await c.rpc('echo', encode({ n: [1, 'two'] }))).data), { n: [1, 'two'] })
  await assert.rejects(c.rpc('other', encode(1)), (e) => e.code === 104)
  await c.send(encode('nobody takes this'))
  await c.publish(channel('chat'), encode('still here'))
})

test('recovers what it has missed, in order, once', async () => {
  const [listener, speaker] = [await connected(0), await connected(1)]
  const sub = await listen(listener, channel('orders')) // nothing was ever published there
  const say = async (from, to) => { for (let i = from; i <= to; i++) await speaker.publish(channel('orders'), encode(i)) }
  await say(1, 3)
  await until('the first', () => sub.heard.length === 3)
  sub.told.length = 0
  restart(listener)
  await say(4, 60)
  await until('all of them', () => sub.heard.length >= 60)
  await say(61, 62)
  await until('the last', () => sub.heard.length >= 62)
  assert.deepEqual(sub.heard.map((p) => p.data), Array.from({ length: 62 }, (_, i) => i + 1))
  const again = reply(sub)
  assert.deepEqual([again.wasRecovering, again.recovered, again.recoverable, again.positioned], [true, true, true, true])
})

test('hears that it cannot recover', async () => {
  const c = await connected(0)
  const sub = await listen(c, channel('orders'), { since: { epoch: 'qFhv', offset: 7 } })
  assert.deepEqual([reply(sub).wasRecovering, reply(sub).recovered], [true, false])
})

test('loads its state again when it cannot recover', async () => {
  const c = await connected(0)
  const room = channel('orders') + '-state'
  await c.publish(room, encode(1))
  const { epoch } = await c.history(room)
  const positions = [{ epoch: 'qFhv', offset: 7 }, { epoch, offset: 0 }]
  let loads = 0
  const sub = await listen(c, room, { getState: async () => positions[loads++] })
  await until('the publication', () => sub.heard.length === 1)
  assert.deepEqual([loads, reply(sub).wasRecovering, reply(sub).recovered], [2, true, true])
})

test('hears what differs, also of what it has missed', async () => {
  const [listener, speaker] = [await connected(0), await connected(1)]
  const room = channel('scores')
  const state = (n) => ({ match: 'Übermut – Ωmega 😀', note: '"\\\n'.repeat(20), score: n, players: Array.from({ length: 30 }, (_, i) => ({ name: `p${i}`, goals: i === n % 30 ? n : 0 })) })
  const sub = await listen(listener, room, { delta: 'fossil', recoverable: true })
  const plain = await listen(listener, room + '-plain', {})
  const say = async (from, to) => { for (let n = from; n <= to; n++) await speaker.publish(room, encode(state(n))) }
  const stats = () => [sub.deltaStats().numFullPayloads, sub.deltaStats().numDeltaPayloads]
  await say(1, 20)
  await until('the first', () => sub.heard.length === 20)
  assert.deepEqual(stats(), [1, 19])
  assert.ok(sub.deltaStats().compressionRatio > 0.8, `${sub.deltaStats().compressionRatio}`)
  restart(listener)
  await until('the cut', () => sub.told.some((t) => t.event === 'subscribing' && t !== sub.told[0]))
  await say(21, 40)
  await until('what was missed', () => sub.heard.length >= 40)
  await until('the reply', () => sub.told.filter((t) => t.event === 'subscribed').length === 2)
  await say(41, 50)
  await until('the last', () => sub.heard.length >= 50)
  assert.deepEqual(sub.heard.map((p) => p.data), Array.from({ length: 50 }, (_, i) => state(i + 1)))
  assert.ok(stats()[0] <= 4 && stats()[1] >= 46, `${stats()}`) // the first after the reply, that after what was missed
  const late = await listen(await connected(1), room, { delta: 'fossil', since: { epoch: sub.heard[0].epoch ?? sub._epoch, offset: 45 } })
  await until('the rest', () => late.heard.length === 5)
  assert.deepEqual(late.heard.map((p) => p.data), [46, 47, 48, 49, 50].map(state))
  assert.equal(late.deltaStats().numDeltaPayloads, 4)
  assert.equal(plain.heard.length, 0)
})

test('hears data of all kinds by what differs', async () => {
  const room = 'plain:' + channel('kinds')
  const sub = await listen(await connected(1), room, { delta: 'fossil' })
  sub.removeAllListeners('publication')
  const heard = []
  sub.on('publication', (ctx) => heard.push(binary ? Buffer.from(ctx.data).toString('base64') : ctx.data))
  const long = 'a text of some length, '.repeat(5)
  const bytes = Buffer.alloc(200, 0xff)
  for (const [type, body] of [['text/plain', long], ['text/plain', long + '!'], ['application/octet-stream', bytes], ['application/octet-stream', bytes.subarray(9)], ['application/json', `{"a":\n"${long}"}`]]) {
    await api(`/channels/${room}/messages`, { body, headers: { 'Content-Type': type } })
  }
  await until('all', () => heard.length === 5)
  const base64 = (data) => Buffer.from(data).toString('base64')
  assert.deepEqual(heard, binary ? [base64(long), base64(long + '!'), base64(bytes), base64(bytes.subarray(9)), base64(`{"a":\n"${long}"}`)]
    : [long, long + '!', base64(bytes), base64(bytes.subarray(9)), { a: long }])
})

test('begins with the last publication of a cache', async () => {
  const c = await connected(0)
  for (const value of ['old', 'now']) await c.publish('cache:' + channel('song'), encode(value))
  const sub = await listen(await connected(1), 'cache:' + channel('song'), { since: {} })
  await until('the song', () => sub.heard.length > 0)
  assert.deepEqual(sub.heard.map((p) => p.data), ['now'])
  assert.equal(reply(sub).recovered, true)
  for (const value of ['older', 'newest']) await c.publish(channel('songs'), encode(value))
  const longer = await listen(await connected(1), channel('songs'), { since: {} })
  await c.publish(channel('songs'), encode('next'))
  await until('the next song', () => longer.heard.length === 2)
  assert.deepEqual(longer.heard.map((p) => p.data), ['newest', 'next'])
  const empty = await listen(await connected(1), 'cache:' + channel('silence'), { since: {} })
  assert.equal(reply(empty).recovered, false)
})

test('reads the history', async () => {
  const c = await connected(0)
  for (let i = 1; i <= 5; i++) await c.publish(channel('log'), encode(i))
  const data = (page) => page.publications.map((p) => decode(p.data))
  assert.deepEqual(data(await c.history(channel('log'), { limit: 2 })), [1, 2])
  assert.deepEqual(data(await c.history(channel('log'), { limit: -1 })), [1, 2, 3, 4, 5])
  assert.deepEqual(data(await c.history(channel('log'), { limit: 2, reverse: true })), [5, 4])
  const back = async (offset, limit) => data(await c.history(channel('log'), { limit, reverse: true, since: { epoch: at.epoch, offset } }))
  const at = await c.history(channel('log'))
  assert.deepEqual([data(at), Number(at.offset)], [[], 5])
  assert.deepEqual(data(await c.history(channel('log'), { limit: 2, since: { epoch: at.epoch, offset: 2 } })), [3, 4])
  assert.deepEqual(data(await c.history(channel('log'), { limit: 2, since: { epoch: at.epoch, offset: 0 } })), [1, 2])
  assert.deepEqual([await back(4, 2), await back(2, 10), await back(1, 10), await back(99, 1), await back(5, -1)], [[3, 2], [1], [], [5], [4, 3, 2, 1]])
  await assert.rejects(back(0, 1), (e) => e.code === 107)
  for (const reverse of [false, true]) {
    await assert.rejects(c.history(channel('log'), { limit: 2, reverse, since: { epoch: 'other', offset: 2 } }), (e) => e.code === 112)
  }
  await assert.rejects(c.history(channel('log'), { limit: 2, since: { epoch: 'other', offset: 2 } }), (e) => e.code === 112)
})

test('sees who is there, and who comes and goes', async () => {
  const [alice, bob] = [await connected(0, { token: 'user alice' }), await connected(1, { token: 'user bob' })]
  const a = await listen(alice, channel('room'))
  const b = await listen(bob, channel('room'))
  await until('the join', () => a.told.some((t) => t.event === 'join' && t.info.user === 'bob'))
  const { clients: present } = await a.presence()
  assert.deepEqual(Object.values(present).map((i) => [i.user, decode(i.connInfo)]).sort(), [['alice', { name: 'alice' }], ['bob', { name: 'bob' }]])
  for (const [id, info] of Object.entries(present)) assert.equal(id, info.client)
  const stats = await b.presenceStats()
  assert.deepEqual([stats.numClients, stats.numUsers], [2, 2])
  await b.unsubscribe()
  await until('the leave', () => a.told.some((t) => t.event === 'leave' && t.info.user === 'bob'))
  b.subscribe()
  await b.ready(20000)
})

test('shows users where the rule has it so', async () => {
  const [one, two] = [await connected(0, { token: 'user alice' }), await connected(1, { token: 'user alice' })]
  const a = await listen(one, 'users:' + channel('room'))
  await listen(two, 'users:' + channel('room'))
  await until('both sessions', async () => (await a.presenceStats()).numClients === 2)
  assert.equal((await a.presenceStats()).numUsers, 1)
  assert.deepEqual(Object.keys((await a.presence()).clients), ['alice'])
})

test('is on its personal channel from the start, and goes on there', async () => {
  const user = 'dora' + run
  const c = client(0, { token: 'user ' + user })
  const subscribed = once(c, 'subscribed')
  const heard = []
  c.on('publication', (ctx) => heard.push([ctx.channel, decode(ctx.data)]))
  c.connect()
  assert.equal((await subscribed).channel, '@' + user)
  await api(`/channels/@${user}/messages`, { body: '"for you"', headers: { 'Content-Type': 'application/json' } })
  await until('the message', () => heard.length > 0)
  assert.deepEqual(heard, [['@' + user, 'for you']])
})

test('recovers on the channels that the server has put it on', async () => {
  const user = 'gil' + run
  const c = client(0, { token: 'user ' + user })
  const told = []
  const heard = []
  c.on('subscribed', (ctx) => told.push(ctx))
  c.on('publication', (ctx) => heard.push(decode(ctx.data)))
  const say = (n) => api(`/channels/@${user}/messages`, { body: String(n), headers: { 'Content-Type': 'application/json' } })
  c.connect()
  await c.ready(20000)
  assert.deepEqual(told.map((t) => [t.channel, t.recoverable]), [['@' + user, true]]) // with the connect reply
  await say(1)
  await until('the first', () => heard.length === 1)
  restart(c)
  for (const n of [2, 3, 4]) await say(n)
  await until('all of them', () => heard.length >= 4)
  assert.deepEqual(heard, [1, 2, 3, 4])
  assert.deepEqual([told[1].wasRecovering, told[1].recovered], [true, true])
})

test('is subscribed, unsubscribed and sent away by the backend', async () => {
  const user = 'emil' + run
  const c = await connected(1, { token: 'user ' + user })
  const served = new Promise((resolve) => c.on('subscribed', (ctx) => ctx.channel === 'news' && resolve()))
  await api(`/users/${user}/channels/news`)
  await served
  const ended = once(c, 'unsubscribed')
  await api(`/users/${user}/channels/news`, { method: 'DELETE' })
  assert.equal((await ended).channel, 'news')
  const sub = await listen(c, channel('chat'))
  await api(`/users/${user}/channels/${channel('chat')}`, { method: 'DELETE' })
  await until('the end of the subscription', () => sub.told.some((t) => t.event === 'unsubscribed' && t.code === 2000))
  const away = once(c, 'disconnected')
  await api(`/users/${user}/sessions`, { method: 'DELETE' })
  assert.equal((await away).code, 3503)
})

test('is put on a channel by the backend with data, from a position on', async () => {
  const [user, room] = ['ines' + run, channel('given')]
  const c = await connected(1, { token: 'user ' + user })
  const speaker = await connected(0)
  for (let n = 1; n <= 3; n++) await speaker.publish(room, encode(n))
  const { epoch } = await speaker.history(room)
  const seen = await listen(speaker, room)
  const heard = []
  c.on('publication', (ctx) => heard.push(decode(ctx.data)))
  const served = once(c, 'subscribed')
  const body = JSON.stringify({ user, channel: room, data: { why: 'you were\ninvited' }, info: { role: 'guest' }, recover_since: { offset: 1, epoch } })
  const answer = await fetch(nodes[0] + '/server/subscribe', { method: 'POST', body }).then((r) => r.json())
  assert.deepEqual(answer, { result: {} })
  const told = await served
  assert.deepEqual([told.channel, decode(told.data), told.recoverable], [room, { why: 'you were\ninvited' }, true])
  await until('what was published', () => heard.length >= 2)
  assert.deepEqual(heard, [2, 3])
  let present
  await until('the presence', async () => {
    present = Object.values((await speaker.presence(room)).clients).find((i) => i.user === user)
    return present
  })
  await c.publish(room, encode('here'))
  await until('the publication', () => seen.heard.length === 1)
  c.disconnect()
  const [joined, left] = ['join', 'leave'].map((event) => () => seen.told.find((t) => t.event === event && t.info.user === user)?.info)
  await until('the leave', left)
  for (const info of [present, seen.heard[0].info, joined(), left()]) {
    assert.deepEqual([info.user, decode(info.connInfo), decode(info.chanInfo)], [user, { name: user }, { role: 'guest' }])
  }
})

test('is put on a channel by the backend unseen, and on other terms', async () => {
  const [user, room] = ['olaf' + run, channel('terms')]
  const c = await connected(1, { token: 'user ' + user })
  const seen = await listen(await connected(0, { token: 'user anna' }), room)
  const told = []
  for (const event of ['subscribed', 'join', 'leave', 'publication']) c.on(event, (ctx) => told.push({ event, ...ctx }))
  const put = async (override) => {
    const body = JSON.stringify({ user, channel: room, override })
    return fetch(nodes[0] + '/server/subscribe', { method: 'POST', body }).then((r) => r.json())
  }
  const no = { value: false }
  assert.equal((await put({ presence: no })).error.code, 108) // without join_leave
  assert.deepEqual(await put({ presence: no, join_leave: no, force_push_join_leave: no, force_recovery: no }), { result: {} })
  await until('the subscription', () => told.length === 1)
  assert.deepEqual([told[0].channel, told[0].recoverable, told[0].positioned], [room, false, false])
  const other = await listen(await connected(0, { token: 'user bert' }), room)
  await until('the join of another', () => seen.told.some((t) => t.event === 'join' && t.info.user === 'bert'))
  await other.unsubscribe()
  await until('the leave of another', () => seen.told.some((t) => t.event === 'leave' && t.info.user === 'bert'))
  await seen.publish(encode('for all'))
  await until('the publication', () => told.some((t) => t.event === 'publication'))
  assert.deepEqual(told.map((t) => t.event), ['subscribed', 'publication'])
  assert.deepEqual(Object.values((await seen.presence()).clients).map((i) => i.user), ['anna'])
  assert.ok(!seen.told.some((t) => t.event === 'join' && t.info.user === user))
})

test('hears that what it was to get is gone', async () => {
  const [user, room] = ['noor' + run, channel('gone')]
  const c = await connected(1, { token: 'user ' + user })
  await (await connected(0)).publish(room, encode(1))
  const told = []
  for (const event of ['subscribed', 'unsubscribed']) c.on(event, (ctx) => told.push({ event, ...ctx }))
  const body = JSON.stringify({ user, channel: room, recover_since: { offset: 7, epoch: 'other' } })
  await fetch(nodes[0] + '/server/subscribe', { method: 'POST', body })
  await until('all', () => told.length === 3)
  assert.deepEqual(told.map((t) => t.event), ['subscribed', 'unsubscribed', 'subscribed'])
  const { wasRecovering, recovered, recoverable } = told[2]
  assert.deepEqual([wasRecovering, recovered, recoverable], [!binary, false, true])
})

if (transport === 'websocket') test('answers pings, and stays', async () => {
  let pings = 0
  class Counting extends WebSocket {
    constructor(...all) {
      super(...all)
      this.on('message', (data) => { if (data.byteLength === (binary ? 1 : 2)) pings++ })
    }
  }
  const c = await connected(0, { websocket: Counting })
  let left = false
  c.on('connecting', () => { left = true })
  await until('four pings', () => pings >= 4) // who does not answer is gone after two and a bit
  assert.equal(left, false)
})

test('hears text and binary data of others', async () => {
  const sub = await listen(await connected(1), 'plain:' + channel('raw'))
  sub.removeAllListeners('publication')
  const heard = []
  sub.on('publication', (ctx) => heard.push(binary ? Array.from(ctx.data) : ctx.data))
  await api(`/channels/plain:${channel('raw')}/messages`, { body: 'hello', headers: { 'Content-Type': 'text/plain' } })
  await api(`/channels/plain:${channel('raw')}/messages`, { body: new Uint8Array([255, 0]), headers: { 'Content-Type': 'application/octet-stream' } })
  await until('both', () => heard.length === 2)
  assert.deepEqual(heard, binary ? [[104, 101, 108, 108, 111], [255, 0]] : ['hello', '/wA='])
})
