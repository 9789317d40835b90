// A rolling restart of three servers behind HAProxy, as thousands of official clients see it.
//
//     ./test --prepare && cargo build --bin sio && node tools/rolling-restart.js --url redis://127.0.0.1 --clients 5000
//
// With `--crash yes` all servers are killed at once and started again instead: a reconnect storm.
//
// Prints what happens, and as its last line the figures in JSON. Ends with 1 if a client did not come back.
"use strict";

const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");
const { fork, spawn, execFileSync } = require("node:child_process");
const { once } = require("node:events");
const { setTimeout: sleep } = require("node:timers/promises");

const ROOT = path.join(__dirname, "..");
const MODULES = process.env.SIO_TEST_NODE_PATH ?? path.join(ROOT, ".test-env/node/node_modules");
const CONFIG = path.join(ROOT, "docs/haproxy/rolling.cfg");
const ROOM = "rolling";
/* Clients of one process. */
const CROWD = 500;
const PATIENCE = 120_000;

const OPTIONS = {
  url: "redis://127.0.0.1:6379",
  channel: `rolling-${process.pid}`,
  clients: "60",
  drain: "20s",
  crash: "no",
  sio: path.join(process.env.CARGO_TARGET_DIR ?? path.join(ROOT, "target"), "debug/sio"),
  haproxy: "haproxy",
};

/* One process of clients: connects them little by little, then reports what happens to them. */
function crowd(url, count) {
  const { io } = require(path.join(MODULES, "socket.io-client"));
  const seen = { connects: [], refused: 0, absences: [], received: 0, connected: 0 };
  const sockets = Array.from({ length: count }, () => {
    const socket = io(url, { transports: ["websocket"], query: { room: ROOM }, autoConnect: false, forceNew: true });
    let left;
    socket.on("connect", () => {
      seen.connected += 1;
      seen.connects.push(Date.now());
      if (left) seen.absences.push(Date.now() - left);
    });
    socket.on("disconnect", () => { seen.connected -= 1; left = Date.now(); });
    socket.on("connect_error", () => { seen.refused += 1; });
    socket.on("done", () => { seen.received += 1; });
    return socket;
  });
  sockets.forEach((socket, at) => setTimeout(() => socket.connect(), at * 20));
  process.on("message", (message) => {
    if (message === "end") process.exit(0);
    process.send(seen);
  });
}

const running = new Set();

function start(program, args, env = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...env } });
  running.add(child);
  child.on("exit", () => running.delete(child));
  return child;
}

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/* Resolves once the server has said where it listens. */
async function serve(options, port) {
  const limits = ["--max-handshakes-per-address", "2000", "--proxy", "127.0.0.1"];
  const args = ["serve", "--listen", `127.0.0.1:${port}`, "--drain", options.drain, ...limits];
  const server = start(options.sio, args, { SIO_URL: options.url, SIO_CHANNEL: options.channel });
  let printed = "";
  server.stdout.on("data", (chunk) => { printed += chunk; });
  await until("the server listens", () => printed.includes("http://"));
  return server;
}

async function until(what, holds, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (;;) {
    const held = await holds();
    if (held) return held;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await sleep(100);
  }
}

/* What all clients have seen so far. */
async function seen(crowds) {
  const parts = await Promise.all(crowds.map(async (each) => {
    each.send("report");
    const [part] = await once(each, "message");
    return part;
  }));
  const sum = (name) => parts.reduce((all, part) => all + part[name], 0);
  const joined = (name) => parts.flatMap((part) => part[name]);
  return { connected: sum("connected"), refused: sum("refused"), received: sum("received"), connects: joined("connects"), absences: joined("absences") };
}

/* The most connects within one second, after a time. */
function peak(connects, since) {
  const counts = new Map();
  for (const time of connects.filter((time) => time >= since)) {
    const second = Math.floor(time / 1000);
    counts.set(second, (counts.get(second) ?? 0) + 1);
  }
  return Math.max(0, ...counts.values());
}

function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/* Replaces the servers one after the other, each after it drained. Returns how long each took. */
async function roll(options, servers, ports, areBack) {
  const took = [];
  for (const [at, port] of ports.entries()) {
    const leaving = Date.now();
    servers[at].kill("SIGTERM");
    const [code] = await once(servers[at], "exit");
    if (code !== 0) throw new Error(`a server ended with ${code}`);
    took.push(Date.now() - leaving);
    servers[at] = await serve(options, port);
    await until("all clients are back", areBack);
    console.log(`server ${at + 1} drained in ${took[at]} ms, and all clients are back`);
  }
  return took;
}

/* Kills all servers at once, and starts them again. */
async function crash(options, servers, ports, areBack) {
  await Promise.all(servers.map((server) => {
    server.kill("SIGKILL");
    return once(server, "exit");
  }));
  for (const [at, port] of ports.entries()) servers[at] = await serve(options, port);
  await until("all clients are back", areBack);
  console.log("all servers were killed, and all clients are back");
}

/* The highest resident memory of each server so far, in MiB. */
function peakMemory(servers) {
  return servers.map((server) => {
    const status = fs.readFileSync(`/proc/${server.pid}/status`, "utf8");
    return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)[1]) / 1024);
  });
}

async function main(options) {
  const count = Number(options.clients);
  const ports = [await freePort(), await freePort(), await freePort()];
  const servers = [];
  for (const port of ports) servers.push(await serve(options, port));
  const front = await freePort();
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rolling-"));
  let config = fs.readFileSync(CONFIG, "utf8").replace("bind :8080", `bind 127.0.0.1:${front}`);
  ports.forEach((port, at) => { config = config.replace(`127.0.0.1:300${at + 1}`, `127.0.0.1:${port}`); });
  fs.writeFileSync(path.join(folder, "haproxy.cfg"), config);
  start(options.haproxy, ["-db", "-f", path.join(folder, "haproxy.cfg")]);
  await until("HAProxy listens", () => new Promise((resolve) => {
    const socket = net.connect(front, "127.0.0.1", () => { socket.destroy(); resolve(true); });
    socket.on("error", () => resolve(false));
  }));
  const crowds = [];
  for (let left = count; left > 0; left -= CROWD) {
    crowds.push(fork(__filename, ["crowd", `http://127.0.0.1:${front}`, String(Math.min(left, CROWD))]));
    running.add(crowds.at(-1));
  }
  await until("all clients connect", async () => (await seen(crowds)).connected === count);
  console.log(`${count} clients are connected`);
  const before = await seen(crowds);
  const begun = Date.now();
  /* In a crash each client was away once. */
  const absent = options.crash === "yes" ? count : 0;
  const areBack = async () => {
    const { connected, absences } = await seen(crowds);
    return connected === count && absences.length >= absent;
  };
  const took = await (options.crash === "yes" ? crash : roll)(options, servers, ports, areBack);
  execFileSync(options.sio, ["emit", "--quiet", "--room", ROOM, "done"], { env: { ...process.env, SIO_URL: options.url, SIO_CHANNEL: options.channel } });
  await until("all clients get an event", async () => (await seen(crowds)).received === count);
  const after = await seen(crowds);
  const figures = {
    clients: count,
    back: after.connected,
    received: after.received,
    reconnects: after.absences.length,
    refused: after.refused - before.refused,
    peak_handshakes_per_second: peak(after.connects, begun),
    absent_ms: { p50: quantile(after.absences, 0.5), p99: quantile(after.absences, 0.99), max: quantile(after.absences, 1) },
    drain_ms: took,
    peak_memory_mib: peakMemory(servers),
  };
  console.log(JSON.stringify(figures));
}

function options(args) {
  const given = { ...OPTIONS };
  for (let at = 0; at < args.length; at += 2) {
    const name = args[at].replace(/^--/, "");
    if (!(name in given) || args[at + 1] === undefined) throw new Error(`usage: rolling-restart.js ${Object.keys(OPTIONS).map((each) => `[--${each} VALUE]`).join(" ")}`);
    given[name] = args[at + 1];
  }
  return given;
}

if (process.argv[2] === "crowd") {
  crowd(process.argv[3], Number(process.argv[4]));
} else {
  main(options(process.argv.slice(2)))
    .catch((error) => {
      console.error(error);
      process.exitCode = 1;
    })
    .finally(() => {
      for (const child of running) child.kill("SIGKILL");
    });
}
