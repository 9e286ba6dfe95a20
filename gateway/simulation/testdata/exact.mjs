// Runs a program that is built for wasip1 so that neither the machine nor the runtime influence
// what it does: it has one thread, no files, no environment, and random numbers derived from a
// seed. Its clock advances by a microsecond each time that it is read, and to the end of each
// wait.
//
//     node --no-warnings exact.mjs SEED PROGRAM [ARGUMENT...]
import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';

const [seed, program, ...args] = process.argv.slice(2);
const wasi = new WASI({ version: 'preview1', args: ['program', ...args], returnOnExit: true });
const imports = wasi.getImportObject();

let memory;
let random = BigInt(seed);
let now = 1_000_000_000_000_000_000n; // ns

// splitmix returns the next number (Steele, Lea, Flood: SplitMix64).
function splitmix() {
  random = BigInt.asUintN(64, random + 0x9e3779b97f4a7c15n);
  let z = random;
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

// The functions of WASI preview 1 whose results depend on the machine.
Object.assign(imports.wasi_snapshot_preview1, {
  random_get(at, length) {
    const bytes = new Uint8Array(memory.buffer, at, length);
    for (let i = 0; i < length; i++) bytes[i] = Number(splitmix() & 255n);
    return 0;
  },
  clock_time_get(clock, precision, at) {
    now += 1000n;
    new DataView(memory.buffer).setBigUint64(at, now, true);
    return 0;
  },
  sched_yield: () => 0,
  poll_oneoff,
});

// Offsets in a subscription (48 bytes): its name, its kind, its end, and the flag that tells
// whether the end is a time or a duration. An event (32 bytes) begins with the name.
const subscription = { size: 48, name: 0, kind: 8, end: 24, flags: 40 };
const clock = 0;

// poll_oneoff advances the clock to the end of the shortest wait. There are only waits for the
// clock, because the program has no files.
function poll_oneoff(from, to, count, counted) {
  const view = new DataView(memory.buffer);
  let first;
  for (let at = from; at < from + count * subscription.size; at += subscription.size) {
    if (view.getUint8(at + subscription.kind) !== clock) throw new Error('the program waits for a file');
    const absolute = view.getUint16(at + subscription.flags, true) & 1;
    const end = view.getBigUint64(at + subscription.end, true) + (absolute ? 0n : now);
    if (!first || end < first.end) first = { name: view.getBigUint64(at + subscription.name, true), end };
  }
  if (first.end > now) now = first.end;
  new Uint8Array(memory.buffer, to, 32).fill(0);
  view.setBigUint64(to, first.name, true);
  view.setUint32(counted, 1, true);
  return 0;
}

const instance = await WebAssembly.instantiate(await WebAssembly.compile(await readFile(program)), imports);
memory = instance.exports.memory;
process.exitCode = wasi.start(instance);
