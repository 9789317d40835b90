// Connections of Node.js to PostgreSQL, and the adapter of socket.io over it. See README.md.
"use strict";

const URLS = /^postgres(ql)?:/;

// A pool whose connections are known to PostgreSQL by `name`.
function connect(url, name) {
  const { Pool } = require("pg");
  const pool = new Pool({ connectionString: url, application_name: name });
  pool.on("error", (error) => process.stderr.write(`postgres: ${error}\n`));
  return pool;
}

// Heartbeats are frequent, so that servers that start together know each other soon: one that is not listening yet misses the first.
function adapter(pool, prefix, options) {
  const { createAdapter } = require("@socket.io/postgres-adapter");
  const errorHandler = (error) => process.stderr.write(`adapter: ${error}\n`);
  return createAdapter(pool, { channelPrefix: prefix, heartbeatInterval: 500, errorHandler, ...options });
}

// Whether a connection by that name listens, for the namespace that was added last.
async function isListening(pool, name, prefix, namespace) {
  const found = await pool.query("SELECT FROM pg_stat_activity WHERE application_name = $1 AND state = 'idle' AND query = $2", [
    name,
    `LISTEN "${prefix}#${namespace}"`,
  ]);
  return found.rowCount > 0;
}

module.exports = { URLS, connect, adapter, isListening };
