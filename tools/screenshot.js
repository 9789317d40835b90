// The picture of the page of `sio serve` in the README: a server, a page in Chromium, events from the command.
//
//     ./test --prepare && cargo build --bin sio && tools/verb screenshot
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { spawn, execFileSync } = require("node:child_process");
const { once } = require("node:events");

const root = path.join(__dirname, "..");
const { chromium } = require(path.join(process.env.SIO_TEST_NODE_PATH ?? path.join(root, ".test-env/node/node_modules"), "playwright-core"));

const SIO = path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, "target"), "debug/sio");
const PICTURE = path.join(root, "docs/images/page.png");
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const EVENTS = [
  ["order placed", '{"order":4711,"items":3}'],
  ["progress", "25"],
  ["progress", "75"],
  ["said", '"Is the kitchen free?"'],
  ["job done", '{"id":7,"file":"report.pdf"}'],
];

// Resolves to the addresses of page and broker, which the server prints once it listens.
async function addresses(server) {
  let printed = "";
  for await (const chunk of server.stdout) {
    printed += chunk;
    const [page, broker] = [/http:\S+/, /redis:\S+/].map((pattern) => printed.match(pattern)?.[0]);
    if (page && broker) return { page, broker };
  }
  throw new Error(`sio serve ended: ${printed}`);
}

async function main() {
  const server = spawn(SIO, ["serve", "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(server, "exit");
  const browser = await chromium.launch({ executablePath: process.env.SIO_TEST_CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  try {
    const { page: url, broker } = await addresses(server);
    const page = await browser.newPage({ viewport: { width: 900, height: 890 }, reducedMotion: "reduce" });
    await page.goto(`${url}?room=lobby`);
    await page.waitForSelector("#state[data-state=connected]");
    await page.waitForSelector("#rooms li");
    for (const [name, data] of EVENTS) {
      const { length } = await page.$$("#events tr");
      execFileSync(SIO, ["emit", "--quiet", "--url", broker, "--room", "lobby", name, data]);
      await page.waitForFunction((length) => document.querySelectorAll("#events tr").length > length, length);
    }
    // The id is another one each time.
    await page.evaluate(() => (document.querySelector("#id").textContent = "id 0Vb3sZcQmXw9TfLr2aKd"));
    fs.mkdirSync(path.dirname(PICTURE), { recursive: true });
    await page.screenshot({ path: PICTURE });
    console.log(`${PICTURE}: ${fs.statSync(PICTURE).size} bytes`);
  } finally {
    await browser.close();
    server.kill("SIGTERM");
    await ended;
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
