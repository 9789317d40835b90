// Connections of Node.js to Redis, alone or a cluster, and the adapters of socket.io. See README.md.
"use strict";

const postgres = require("./node_postgres.js");

const CLUSTER = "redis+cluster://";

// A connection by node-redis, which has joined a cluster where the URL names one. Its connections are known to Redis by `name`.
async function connect(url, name) {
  const { createClient, createCluster } = require("redis");
  const client = url.startsWith(CLUSTER)
    ? createCluster({
        rootNodes: nodes(url).map((node) => ({ url: `redis://${node}` })),
        defaults: { name },
      })
    : createClient({ url, name });
  return opened(client);
}

async function opened(client) {
  client.on("error", (error) => process.stderr.write(`redis: ${error}\n`));
  await client.connect();
  return client;
}

const nodes = (url) => url.slice(CLUSTER.length).split(",");

// By ioredis: version 0.2 of the adapter over streams takes no node-redis 5. As with node-redis 4 reads have a connection of their own:
// behind them what the server writes would wait, until Redis ends the reads of all servers at once, none of which would see it.
function connectByIoredis(url, connectionName) {
  const open = () => {
    const client = openByIoredis(url, connectionName);
    client.on("error", (error) => process.stderr.write(`redis: ${error}\n`));
    return client;
  };
  const [client, reader] = [open(), open()];
  client.xread = (...args) => reader.xread(...args);
  return client;
}

function openByIoredis(url, connectionName) {
  const Redis = require("ioredis");
  if (!url.startsWith(CLUSTER)) return new Redis(url, { connectionName });
  const addresses = nodes(url).map((node) => ({ host: node.split(":")[0], port: Number(node.split(":")[1]) }));
  return new Redis.Cluster(addresses, { redisOptions: { connectionName } });
}

// Returns the adapter that a name stands for; `prefix` begins its channels and streams, `options` are further ones of its own.
const ADAPTERS = {
  async classic(client, prefix, options) {
    const { createAdapter } = require("@socket.io/redis-adapter");
    return createAdapter(client, await opened(client.duplicate()), { key: prefix, ...options });
  },
  "classic-specific": (client, prefix, options) =>
    ADAPTERS.classic(client, prefix, { publishOnSpecificResponseChannel: true, ...options }),
  async sharded(client, prefix, options) {
    const { createShardedAdapter } = require("@socket.io/redis-adapter");
    return createShardedAdapter(client, await opened(client.duplicate()), { channelPrefix: prefix, ...options });
  },
  async streams(client, prefix, options) {
    const { createAdapter } = require("@socket.io/redis-streams-adapter");
    return createAdapter(client, { streamName: prefix, channelPrefix: prefix, ...options });
  },
  async "streams-0.2"(client, prefix, options, url, name) {
    const { createAdapter } = require("redis-streams-adapter-0.2");
    return createAdapter(connectByIoredis(url, name), { streamName: prefix, ...options });
  },
  postgres: (pool, prefix, options) => postgres.adapter(pool, prefix, options),
};

// The number of connections by that name that wait for entries of a stream.
async function numReaders(client, name) {
  const of = (node) => node.sendCommand(["CLIENT", "LIST"]);
  const lists = client.masters ? client.masters.map((master) => master.client) : [client];
  const lines = (await Promise.all(lists.map(of))).join("\n").split("\n");
  return lines.filter((line) => line.includes(` name=${name} `) && line.includes(" cmd=xread ")).length;
}

module.exports = { ADAPTERS, connect, numReaders };
