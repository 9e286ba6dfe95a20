// Run by go test in a project that has installed the package from its tarball, and
// the tools of its world from npm, with the address of a gateway in GATEWAY.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const gateway = process.env.GATEWAY;
const run = promisify(execFile);
const program = (name) => `node_modules/.bin/${name}`;
const shown = ({ stdout, stderr, message }) => `${message}\n${stdout}\n${stderr}`;
const mustRun = (name, ...args) => run(name, args).catch((error) => assert.fail(shown(error)));

// What a runtime is given to do: hear what it has said itself, and tell over what.
const talk = (options = "{}") => `
  import { Tidegate } from "tidegate";
  const tide = new Tidegate(${JSON.stringify(gateway)}, ${options});
  let room;
  const heard = new Promise((hear) => { room = tide.subscribe("tools", hear); });
  await new Promise((subscribed) => room.on("subscribed", subscribed));
  await room.publish("hi");
  console.log("heard", (await heard).data, "by", tide.status.transport);
  tide.close();
`;

for (const moduleResolution of ["nodenext", "bundler"]) {
  test(`types: events and payloads, with ${moduleResolution}`, async () => {
    const module = moduleResolution === "bundler" ? "esnext" : moduleResolution;
    await mustRun(program("tsc"), "--ignoreConfig", "--noEmit", "--strict", "--target", "es2022", "--lib", "es2023,dom", "--module", module, "--moduleResolution", moduleResolution, "types.ts");
  });
}

test("Node 20 has no WebSocket: Server-Sent Events, or one that is given", async () => {
  await writeFile("talk.mjs", `if (globalThis.WebSocket) throw new Error("there is a WebSocket");\n${talk()}`);
  assert.match((await mustRun(program("node"), "talk.mjs")).stdout, /heard hi by sse/);
  await writeFile("talk-ws.mjs", `import WebSocket from "ws";\n${talk("{ WebSocket }")}`);
  assert.match((await mustRun(program("node"), "talk-ws.mjs")).stdout, /heard hi by websocket/);
});

test("Deno", async () => {
  await writeFile("talk-deno.mjs", talk());
  const { stdout } = await mustRun(program("deno"), "run", "--quiet", "--no-config", "--node-modules-dir=manual", "--allow-net", "--allow-env", "talk-deno.mjs");
  assert.match(stdout, /heard hi by websocket/);
});

test("esbuild: one file, which runs, and is as small as the README says", async () => {
  const options = { bundle: true, minify: true, format: "esm", write: false };
  const { outputFiles: [whole] } = await esbuild.build({ ...options, entryPoints: ["node_modules/tidegate/tidegate.js"] });
  const size = gzipSync(whole.contents, { level: 9 }).length;
  assert.ok(size < 8_000, `${size} bytes gzipped`);
  const readme = await readFile("node_modules/tidegate/README.md", "utf8");
  const [, said] = readme.match(/all of it in one file \| ([\d.]+) KB/);
  assert.equal(said, (size / 1_000).toFixed(1));

  const { outputFiles: [bundle] } = await esbuild.build({ ...options, stdin: { contents: talk(), resolveDir: "." } });
  await writeFile("talk-bundle.mjs", bundle.contents);
  assert.match((await mustRun(process.execPath, "talk-bundle.mjs")).stdout, /heard hi by/);
});

test("esbuild leaves out what is not used", async () => {
  const { outputFiles: [bundle] } = await esbuild.build({ bundle: true, format: "esm", write: false, stdin: { contents: `import "tidegate";`, resolveDir: "." } });
  assert.ok(bundle.contents.length < 100, bundle.text);
});

test("Vite: the page, its worker, and what is loaded only if it is needed", async () => {
  await mkdir("page", { recursive: true });
  await writeFile("page/index.html", `<!doctype html><title>Vite</title><script type="module" src="./main.js"></script>`);
  await writeFile("page/main.js", `
    import { shareTidegate } from "tidegate/shared";
    const tide = shareTidegate("/", { name: "vite" });
    window.tide = tide;
    window.heard = [];
    tide.subscribe("tools", ({ data }) => heard.push(data));`);
  await mustRun(program("vite"), "build", "page", "--base", "./", "--outDir", "../built", "--emptyOutDir");
  const assets = await readdir("built/assets");
  assert.ok(assets.some((name) => name.includes("tidegate-shared-worker")), assets.join());
  assert.ok(assets.some((name) => name.includes("tidegate-http")), assets.join());
});

test("React itself: a channel, who is on it, and the connection, in strict mode", async (t) => {
  const { Window } = await import("happy-dom");
  const window = new Window();
  for (const name of ["window", "document", "navigator"]) Object.defineProperty(globalThis, name, { value: window[name], configurable: true });
  const { createElement: h, StrictMode } = await import("react");
  const { createRoot } = await import("react-dom/client");
  const { Tidegate } = await import("tidegate");
  const { useChannel, usePresence, useStatus } = await import("tidegate/react");
  assert.match(createRequire(import.meta.url)("react/package.json").version, /^19\./);

  const tide = new Tidegate(gateway);
  t.after(() => tide.close());
  let say;
  function Room({ name }) {
    const { messages, subscribed, publish } = useChannel(tide, name, { recent: 2 });
    const { members, error } = usePresence(tide, name);
    say = publish;
    return `${name} ${subscribed} ${useStatus(tide).state} ${error?.code ?? "ok"} ${members.length >= 0} [${messages.map(({ data }) => data)}]`;
  }
  const container = window.document.createElement("div");
  const root = createRoot(container);
  const shows = async (text) => {
    for (const end = Date.now() + 20_000; container.textContent !== text; await new Promise((next) => setTimeout(next, 10))) {
      if (Date.now() > end) assert.fail(`React shows ${container.textContent}, not ${text}`);
    }
  };
  await tide.publish("react:one", 1);
  root.render(h(StrictMode, null, h(Room, { name: "react:one" })));
  await shows("react:one true connected ok true [1]");
  await say(2);
  await shows("react:one true connected ok true [1,2]");
  root.render(h(StrictMode, null, h(Room, { name: "react:two" })));
  await shows("react:two true connected ok true []");
  root.unmount();
  for (const end = Date.now() + 20_000; ; await new Promise((next) => setTimeout(next, 10))) {
    const { channels } = await (await fetch(`${gateway}/api/channels?match=react:*`)).json();
    if (channels.length === 0) break;
    if (Date.now() > end) assert.fail("somebody is still on a channel");
  }
});
