// socket.io's Server on Node.js, scaled by one of its adapters over Redis or PostgreSQL, driven by lines of JSON: see README.md.
"use strict";

const http = require("node:http");
const { setTimeout: pause } = require("node:timers/promises");
const { Server } = require("socket.io");
const { ADAPTERS, connect, numReaders } = require("./node_redis.js");
const postgres = require("./node_postgres.js");
const { say, serve, target, toWire, fromWire } = require("./lines.js");

const NAMESPACES = ["/", "/chat"];
const [adapter, url, prefix, options = "{}"] = process.argv.slice(2);

async function start() {
  if (!Object.hasOwn(ADAPTERS, adapter)) throw new Error(`unknown adapter ${adapter}`);
  const name = `${prefix}-${process.pid}`;
  const adapterOptions = JSON.parse(options);
  const client = postgres.URLS.test(url) ? postgres.connect(url, name) : await connect(url, name);
  const io = new Server({ adapter: await ADAPTERS[adapter](client, prefix, adapterOptions, url, name) });
  for (const namespace of NAMESPACES) register(io.of(namespace));
  const server = http.createServer();
  io.attach(server);
  server.listen(0, "127.0.0.1");
  if (adapter === "postgres") {
    await until(() => postgres.isListening(client, name, prefix, NAMESPACES.at(-1)));
  }
  if (adapter.startsWith("streams")) {
    await until(async () => (await numReaders(client, name)) >= (adapterOptions.streamCount ?? 1));
  }
  for (const namespace of NAMESPACES) await until(async () => (await count(io, namespace)) > 0);
  say("listening", { port: server.address().port });
  serve(commands(io));
}

const count = (io, namespace) => io.of(namespace).adapter.serverCount();

async function until(condition) {
  while (!(await condition())) await pause(5);
}

function register(io) {
  const namespace = io.name;
  io.on("connection", (socket) => {
    say("connect", { namespace, sid: socket.id, auth: toWire(socket.handshake.auth) });
    socket.on("disconnect", (reason) => say("disconnect", { namespace, sid: socket.id, reason }));
    socket.onAny((name, ...args) => received(socket, name, args));
  });
  io.on("hey", (...args) => say("server_side", { namespace, name: "hey", args: args.map(toWire) }));
  io.on("ask", (...args) => {
    const respond = args.pop();
    say("server_side", { namespace, name: "ask", args: args.map(toWire) });
    respond(args.length > 0 ? args[0] : "answer");
  });
  io.on("silent", () => {}); // asked, it never responds
}

// What clients say: it changes rooms and data, and is reported.
function received(socket, name, args) {
  const respond = typeof args.at(-1) === "function" ? args.pop() : () => {};
  say("message", { namespace: socket.nsp.name, sid: socket.id, name, args: args.map(toWire) });
  switch (name) {
    case "join":
      return Promise.resolve(socket.join(args[0])).then(() => respond(true));
    case "leave":
      return Promise.resolve(socket.leave(args[0])).then(() => respond(true));
    case "data":
      socket.data = args[0];
      return respond(true);
    case "echo":
      return respond(...args);
  }
}

function commands(io) {
  const of = ({ namespace = "/" }) => io.of(namespace);
  const broadcast = (command) => target(of(command), command);
  const args = (command) => (command.args ?? []).map(fromWire);
  return {
    emit: (command) => void broadcast(command).emit(command.name, ...args(command)),
    emit_with_ack: (command) =>
      collect((done) => broadcast(command).timeout(command.timeout).emit(command.name, ...args(command), done)),
    fetch_sockets: async (command) =>
      (await broadcast(command).fetchSockets()).map(({ id, rooms, data, handshake }) =>
        toWire({ id, rooms: [...rooms], data, handshake }),
      ),
    sockets_join: (command) => void broadcast(command).socketsJoin(command.join),
    sockets_leave: (command) => void broadcast(command).socketsLeave(command.leave),
    disconnect_sockets: (command) => void broadcast(command).disconnectSockets(command.close),
    server_side_emit: (command) => void of(command).serverSideEmit(command.name, ...args(command)),
    server_side_emit_with_ack: (command) =>
      collect((done) => of(command).serverSideEmit(command.name, ...args(command), done)),
    server_count: ({ namespace = "/" }) => count(io, namespace),
    requests: (command) => requests(of(command), command.timeout),
  };
}

// One of each request to the other servers at the same time, and how many servers were counted right before.
async function requests(namespace, timeout) {
  const counted = await namespace.adapter.serverCount();
  const outcome = (request) => request.then((responses) => ({ responses }), (error) => ({ error: error.message }));
  const sockets = namespace.timeout(timeout).fetchSockets();
  const [fetchSockets, serverSideEmitWithAck, emitWithAck] = await Promise.all([
    outcome(sockets.then((found) => found.map(({ id }) => id))),
    outcome(namespace.serverSideEmitWithAck("ask", 1)),
    outcome(namespace.timeout(timeout).emitWithAck("question")),
  ]);
  return { counted, outcomes: { fetchSockets, serverSideEmitWithAck, emitWithAck } };
}

// The responses that came, also where others did not.
function collect(request) {
  return new Promise((resolve) => {
    request((error, responses) => resolve({ responses: toWire(responses ?? []), error: error ? error.message : null }));
  });
}

start().catch((error) => say("failure", { error: String(error.stack ?? error) }));
