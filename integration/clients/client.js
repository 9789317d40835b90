// socket.io-client on Node.js, driven by lines of JSON: see README.md. An argument names another version's package.
"use strict";

const readline = require("node:readline");
require("./driver.js");

const { Manager } = require(process.argv[2] ?? "socket.io-client");
const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const parserOf = (name) => require(`socket.io-${name}-parser`);
const run = makeDriver({ Manager, say, parserOf });

const input = readline.createInterface({ input: process.stdin });
input.on("line", (line) => run(JSON.parse(line)));
input.on("close", () => process.exit(0));
say({ event: "ready" });
