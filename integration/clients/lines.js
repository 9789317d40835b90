// What the servers and emitters of Node.js share: lines of JSON in and out, bytes as {"$bin": base64}. See README.md.
"use strict";

const readline = require("node:readline");

const say = (event, fields = {}) => process.stdout.write(JSON.stringify({ event, ...fields }) + "\n");

const mapValues = (object, map) => Object.fromEntries(Object.entries(object).map(([key, inner]) => [key, map(inner)]));

// Makes a received value printable.
function toWire(value) {
  if (value instanceof ArrayBuffer) return { $bin: Buffer.from(value).toString("base64") };
  if (ArrayBuffer.isView(value)) {
    return { $bin: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
  }
  if (value instanceof Date) return { $date: value.getTime() };
  if (Array.isArray(value)) return value.map(toWire);
  if (value !== null && typeof value === "object") return mapValues(value, toWire);
  return value === undefined ? null : value;
}

// Turns what a command holds into what the library is handed.
function fromWire(value) {
  if (Array.isArray(value)) return value.map(fromWire);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.$bin === "string") return Buffer.from(value.$bin, "base64");
  if (typeof value.$date === "number") return new Date(value.$date);
  return mapValues(value, fromWire);
}

// Narrows a broadcast to what a command names; only here are rooms and exceptions those of the command.
function target(broadcast, { rooms = [], except = [], volatile = false }) {
  const narrowed = broadcast.to(rooms).except(except);
  return volatile ? narrowed.volatile : narrowed;
}

// Hands each command to the function of its name, and says what comes of it; ends with the input.
function serve(commands) {
  const run = async (command) => {
    const act = commands[command.cmd];
    if (!act) throw new Error("unknown command");
    say("done", { id: command.id, result: (await act(command)) ?? null });
  };
  const input = readline.createInterface({ input: process.stdin });
  input.on("line", (line) => {
    const command = JSON.parse(line);
    run(command).catch((error) => say("failure", { error: `${command.cmd}: ${error.stack ?? error}` }));
  });
  input.on("close", () => process.exit(0));
}

module.exports = { say, toWire, fromWire, target, serve };
