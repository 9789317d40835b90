// The official browser client in a page of Chromium, driven by lines of JSON: see README.md.
//
// `connect` may name the `page` that it comes from; otherwise that is one of the server's own origin. Pages are made up here, so
// that the server has nothing to do with them.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const CLIENT = path.join(path.dirname(require.resolve("socket.io-client/package.json")), "dist/socket.io.min.js");
// A page that is made up comes from no address, so that Chromium would keep it from this machine's.
const FLAGS = "--disable-features=LocalNetworkAccessChecks --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking " +
  "--disable-component-update --disable-sync";

const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

async function open(browser, url) {
  const page = await browser.newPage();
  page.on("pageerror", (error) => say({ event: "failure", error: String(error) }));
  await page.exposeFunction("say", say);
  await page.route(url, (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html><title>a test</title>" }));
  await page.goto(url);
  for (const file of [CLIENT, path.join(__dirname, "driver.js")]) {
    await page.addScriptTag({ content: fs.readFileSync(file, "utf8") });
  }
  await page.evaluate("globalThis.run = makeDriver({ Manager: io.Manager, say })");
  return page;
}

async function main() {
  const browser = await chromium.launch({ executablePath: process.argv[2], args: FLAGS.split(" ") });
  say({ event: "ready" });
  let page;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    if (command.cmd === "connect") page ??= await open(browser, command.page ?? new URL("/a-page", command.url).href);
    await page.evaluate((command) => run(command), command);
  }
  await browser.close();
}

main().catch((error) => say({ event: "failure", error: String(error) }));
