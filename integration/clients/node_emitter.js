// @socket.io/redis-emitter, driven by lines of JSON: see README.md.
"use strict";

const { Emitter } = require("@socket.io/redis-emitter");
const { connect } = require("./node_redis.js");
const { say, serve, target, fromWire } = require("./lines.js");

const [url, prefix] = process.argv.slice(2);

async function start() {
  const client = await connect(url, prefix);
  const emitter = new Emitter(client, { key: prefix });
  const of = ({ namespace = "/" }) => (namespace === "/" ? emitter : emitter.of(namespace));
  const broadcast = (command) => target(of(command), command);
  const args = (command) => (command.args ?? []).map(fromWire);
  const acts = {
    emit: (command) => broadcast(command).emit(command.name, ...args(command)),
    sockets_join: (command) => broadcast(command).socketsJoin(command.join),
    sockets_leave: (command) => broadcast(command).socketsLeave(command.leave),
    disconnect_sockets: (command) => broadcast(command).disconnectSockets(command.close),
    server_side_emit: (command) => of(command).serverSideEmit(command.name, ...args(command)),
  };
  // The library does not say when Redis has taken a message: the answer to what was sent behind it does.
  const published = (act) => async (command) => {
    act(command);
    await client.publish(`${prefix}-published`, "");
  };
  say("ready");
  serve(Object.fromEntries(Object.entries(acts).map(([name, act]) => [name, published(act)])));
}

start().catch((error) => say("failure", { error: String(error.stack ?? error) }));
