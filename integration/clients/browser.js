// The official browser client in a page of Chromium, driven by lines of JSON: see README.md.
//
// `connect` may name the `page` that it comes from; otherwise that is one of the server's own origin. Pages are made up here, so
// that the server has nothing to do with them; but `visit` loads the page that the server has at `url`, which does what it likes.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const CLIENTS = path.join(path.dirname(require.resolve("socket.io-client/package.json")), "dist");
// A page that is made up comes from no address, so that Chromium would keep it from this machine's.
const FLAGS = "--disable-features=LocalNetworkAccessChecks --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking " +
  "--disable-component-update --disable-sync";

const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

async function blank(browser) {
  const page = await browser.newPage();
  page.on("pageerror", (error) => say({ event: "failure", error: String(error) }));
  await page.exposeFunction("say", say);
  return page;
}

async function visit(browser, url) {
  const page = await blank(browser);
  await page.goto(url);
  return page;
}

async function open(browser, url, parser) {
  const page = await blank(browser);
  const client = path.join(CLIENTS, parser ? `socket.io.${parser}.min.js` : "socket.io.min.js");
  await page.route(url, (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html><title>a test</title>" }));
  await page.goto(url);
  for (const file of [client, path.join(__dirname, "driver.js")]) {
    await page.addScriptTag({ content: fs.readFileSync(file, "utf8") });
  }
  // The file has its parser in it. For MessagePack's a Uint8Array is no binary value there, but an object of many numbers.
  const binary = parser ? "(bytes) => bytes.buffer" : "undefined";
  await page.evaluate(`globalThis.run = makeDriver({ Manager: io.Manager, say, parserOf: () => undefined, binary: ${binary} })`);
  return page;
}

async function main() {
  const browser = await chromium.launch({ executablePath: process.argv[2], args: FLAGS.split(" ") });
  say({ event: "ready" });
  let page;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    if (command.cmd === "visit") {
      page = await visit(browser, command.url);
      continue;
    }
    if (command.url) page ??= await open(browser, command.page ?? new URL("/a-page", command.url).href, command.parser);
    await page.evaluate((command) => run(command), command);
  }
  await browser.close();
}

main().catch((error) => say({ event: "failure", error: String(error) }));
