// Records what the official emitter and adapters hand to Redis and PostgreSQL, one line of JSON per message, for the tests of this crate:
//   NODE_PATH=.test-env/node/node_modules node node-wire/tests/record.js > node-wire/tests/vectors/node.jsonl
// Each line: the wire, the case, the topic or stream, and the bytes in hexadecimal or the fields of the entry; of an attachment
// also its table and its notice.
const { Emitter } = require("@socket.io/redis-emitter");
const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
const { createAdapter: createStreamsAdapter } = require("@socket.io/redis-streams-adapter");
const { createAdapter: createPostgresAdapter } = require("@socket.io/postgres-adapter");
const { Server } = require("socket.io");

let wire, name;

function record(line) {
  console.log(JSON.stringify({ wire, case: name, ...line }));
}

function published(topic, message) {
  record({ topic, hex: Buffer.from(message).toString("hex") });
}

// A client of the package `redis` that reaches no server.
const redis = {
  publish: async (topic, message) => published(topic, message),
  sPublish: async (topic, message) => published(topic, message),
  xAdd: async (stream, _id, entry, { TRIM }) => {
    record({ stream, maxLen: TRIM.threshold, entry: Object.entries(entry) });
    return "1-0";
  },
  xRead: () => new Promise(() => {}),
  pSubscribe: async () => {},
  subscribe: async () => {},
  sSubscribe: async () => {},
  // Three servers, so that requests are sent.
  pubSubNumSub: async (topic) => ({ [topic]: 3 }),
  sendCommand: async (command) => [command[2], 3],
  duplicate: () => redis,
  connect: async () => {},
  disconnect: () => {},
  on: () => {},
  options: {},
};

// A pool of the package `pg` that reaches no server, whose next row has the number 7.
let attached;
const pool = {
  connect: async () => ({ on: () => {}, query: async () => {}, removeAllListeners: () => {}, release: () => {} }),
  query: async (statement, values) => {
    const insert = /^INSERT INTO (\S+) \(payload\)/.exec(statement);
    if (insert) {
      attached = { table: insert[1], hex: Buffer.from(values[0]).toString("hex") };
      return { rows: [{ id: "7" }] };
    }
    const [topic, notice] = values;
    if (attached) record({ topic, ...attached, notice });
    else published(topic, notice);
    attached = undefined;
  },
};

const binary = Buffer.from([1, 2, 255]);

// What every wire can carry; `to` is an emitter or a namespace.
const cases = {
  "everyone": (to) => to.emit("ev", 1, "two"),
  "one room": (to) => to.to("r1").emit("ev", 1),
  "two rooms": (to) => to.to("r1").to("r2").emit("ev"),
  "number as a room": (to) => to.to(5).emit("ev"),
  "except": (to) => to.to("r1").except("r2").emit("ev", null),
  "volatile": (to) => to.volatile.emit("ev"),
  "uncompressed": (to) => to.compress(false).emit("ev"),
  "values": (to) => to.emit("ev", { a: [true, false, null, -1, 1.5, 300, 70000, -40000, 4294967296] }, "é\u0001"),
  "binary": (to) => to.emit("ev", { data: binary }, binary),
  "join": (to) => to.in("r1").except("r2").socketsJoin(["x", "y"]),
  "leave": (to) => to.in("r1").socketsLeave("x"),
  "disconnect": (to) => to.in("r1").disconnectSockets(),
  "close": (to) => to.disconnectSockets(true),
  "server event": (to) => to.serverSideEmit("hey", 1, { a: "b" }),
};

// What only servers send.
const requests = {
  "fetch": (to) => to.in("r1").fetchSockets(),
  "emit with ack": (to) => to.in("r1").timeout(1000).emit("ev", 1, () => {}),
  "emit with ack, binary": (to) => to.timeout(1000).emit("ev", binary, () => {}),
  "server event with ack": (to) => to.serverSideEmit("hey", 1, () => {}),
};

async function run(of, all) {
  for (const [nth, act] of Object.entries(all)) {
    name = nth;
    const done = act(of);
    if (done && done.catch) done.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function main() {
  wire = "classic-emitter";
  const emitter = new Emitter({ publish: published });
  await run(emitter, cases);
  name = "namespace";
  emitter.of("/chat").to("r1").emit("ev", 1);
  const adapters = {
    "classic": createAdapter(redis, redis),
    "sharded": createShardedAdapter(redis, redis, { subscriptionMode: "static" }),
    "streams": createStreamsAdapter(redis, {}),
  };
  adapters.postgres = createPostgresAdapter(pool, { errorHandler: (error) => { throw error; } });
  for (const [kind, adapter] of Object.entries(adapters)) {
    wire = kind;
    name = "hello";
    const io = new Server({ adapter });
    await new Promise((resolve) => setTimeout(resolve, 20));
    // Another server, so that requests are sent.
    if (kind === "postgres") io.of("/").adapter.onMessage({ uid: "0123456789abcdef", nsp: "/", type: 2 });
    await run(io.of("/"), { ...cases, ...requests });
    name = "hello, namespace";
    const chat = io.of("/chat");
    await new Promise((resolve) => setTimeout(resolve, 5));
    name = "namespace";
    chat.to("r1").emit("ev", 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  process.exit(0);
}

main();
