// The official libraries, unmodified, for tests: browsers' (pusher-js) and backends' (pusher).
import Client from "pusher-js";
import Backend from "pusher";

const [host, port] = process.env.GATEWAY.split(":");
const { APP_ID: appId, APP_KEY: key, APP_SECRET: secret } = process.env;

export const backend = new Backend({
  appId, key, secret, host, port, useTLS: false,
  encryptionMasterKeyBase64: Buffer.alloc(32, 7).toString("base64"),
});

const open = [];

// connect returns a client that is connected. user is who it is on presence channels,
// and when it signs in.
export async function connect(user, options = {}) {
  const client = make(user, options);
  await happens(client.connection, "connected");
  return client;
}

export function make(user, options = {}) {
  const client = new Client(options.key ?? key, { ...optionsOf(user), ...options });
  open.push(client);
  return client;
}

// optionsOf returns what a client needs to find the gateway, and to be who user is.
export function optionsOf(user) {
  return {
    wsHost: host, wsPort: Number(port), httpHost: host, httpPort: Number(port), forceTLS: false, cluster: "any",
    enabledTransports: [process.env.TRANSPORT ?? "ws"],
    channelAuthorization: {
      customHandler: ({ channelName, socketId }, done) => {
        const presence = channelName.startsWith("presence-") ? user : undefined;
        done(null, backend.authorizeChannel(socketId, channelName, presence));
      },
    },
    userAuthentication: {
      customHandler: ({ socketId }, done) => done(null, backend.authenticateUser(socketId, user)),
    },
  };
}

export const closeAll = () => open.splice(0).forEach((client) => client.disconnect());

// happens resolves with what an emitter tells next by that name; whole: and about it.
export function happens(emitter, name, options = {}) {
  return within(`${name} of ${emitter.name ?? "the connection"}`, (done) => {
    const heard = (data, about) => { emitter.unbind(name, heard); done(options.whole ? [data, about] : data); };
    emitter.bind(name, heard);
  });
}

export function within(what, start) {
  return new Promise((done, failed) => {
    const timer = setTimeout(() => failed(new Error(`waited in vain for ${what}`)), 30_000);
    start((value) => { clearTimeout(timer); done(value); });
  });
}

// joins subscribes, and returns the channel once it is subscribed.
export async function joins(client, name) {
  const channel = client.subscribe(name);
  channel.roster = await happens(channel, "pusher:subscription_succeeded");
  return channel;
}
