// The official clients as witnesses. WITNESSES is a list of {kind, transport, url, emulation,
// channel}; what the i-th hears is printed as "i NUMBER", that it may have missed something
// as "i !HOW", and that it listens as "i ready".
import WebSocket from 'ws'
import EventSource from 'eventsource'
import { Centrifuge } from 'centrifuge'
import { Centrifuge as CentrifugeProtobuf } from 'centrifuge/build/protobuf'
import Pusher from 'pusher-js'

const kinds = {
  centrifuge: (w, say) => centrifuge(Centrifuge, w, say, (data) => data),
  'centrifuge protobuf': (w, say) => centrifuge(CentrifugeProtobuf, w, say, (data) => new TextDecoder().decode(data)),
  pusher,
}

// Where the channel keeps a history the client recovers by itself; where not, it misses
// what comes while it is away.
function centrifuge(Client, w, say, decode) {
  const secure = w.transport === 'websocket' ? w.url.replace('http', 'ws') : w.url
  const client = new Client([{ transport: w.transport, endpoint: `${secure}/connection/${w.transport}` }], {
    websocket: WebSocket, eventsource: EventSource, emulationEndpoint: w.emulation + '/emulation',
    minReconnectDelay: 50, maxReconnectDelay: 500,
  })
  const channel = client.newSubscription(w.channel, { minResubscribeDelay: 50, maxResubscribeDelay: 500 })
  let begun = false
  channel.on('publication', (ctx) => say(decode(ctx.data)))
  channel.on('subscribed', (ctx) => {
    if (begun && !ctx.recovered) say(ctx.wasRecovering ? '!gap' : '!connection lost')
    begun = true
    say('ready')
  })
  channel.subscribe()
  client.connect()
}

function pusher(w, say) {
  const { hostname, port } = new URL(w.url)
  const client = new Pusher('key', {
    wsHost: hostname, wsPort: Number(port), forceTLS: false, cluster: 'any', enabledTransports: ['ws'],
  })
  const channel = client.subscribe(w.channel)
  let begun = false
  channel.bind('pusher:subscription_succeeded', () => {
    if (begun) say('!connection lost')
    begun = true
    say('ready')
  })
  channel.bind('message', (data) => say(data))
}

JSON.parse(process.env.WITNESSES).forEach((w, i) => kinds[w.kind]?.(w, (text) => console.log(i, text)))
