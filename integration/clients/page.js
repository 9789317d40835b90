// The page of `sio serve` in Chromium, driven by lines of JSON: see README.md.
"use strict";

const readline = require("node:readline");
const { chromium } = require("playwright-core");

const FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

// Each command returns what its event `done` carries as `result`.
const commands = {
  async open({ browser, state, command }) {
    state.page = await browser.newPage({
      viewport: { width: command.width, height: 740 }, colorScheme: command.scheme, reducedMotion: "reduce",
    });
    state.page.setDefaultTimeout(10_000);
    state.page.on("pageerror", (error) => say({ event: "failure", error: String(error) }));
    await state.page.goto(command.url);
    await state.page.waitForSelector("#state[data-state=connected]");
    return state.page.textContent("#id");
  },
  async join({ state, command }) {
    await state.page.fill("#room", command.room);
    await state.page.click("#join button");
    await state.page.locator("#rooms li", { hasText: command.room }).waitFor();
  },
  // Asks for a room that is refused; returns what the page says to it.
  async try_join({ state, command }) {
    await state.page.fill("#room", command.room);
    await state.page.click("#join button");
    await state.page.waitForFunction(() => document.querySelector("#joined").textContent !== "");
    return state.page.textContent("#joined");
  },
  // Emits by the form; returns what the page says to it.
  async emit({ state, command }) {
    await state.page.fill("#to", command.room);
    await state.page.fill("#event", command.event);
    await state.page.fill("#arguments", command.arguments);
    await state.page.evaluate(() => (document.querySelector("#emitted").textContent = ""));
    await state.page.click("#emit button");
    await state.page.waitForFunction(() => document.querySelector("#emitted").textContent !== "");
    return state.page.textContent("#emitted");
  },
  // Waits for a row with an event's name; returns its cells.
  async row({ state, command }) {
    const row = state.page.locator("#events tr", { has: state.page.locator("td.event", { hasText: command.event }) }).first();
    await row.waitFor();
    return row.locator("td").allTextContents();
  },
  // Waits until a row says how long its event took; returns what it says.
  async latency({ state, command }) {
    const row = state.page.locator("#events tr", { has: state.page.locator("td.event", { hasText: command.event }) }).first();
    return row.locator("td.latency", { hasText: "ms" }).textContent();
  },
  // What does not fit: how far the page is wider than its window, and what stands out of it.
  async overflow({ state }) {
    return state.page.evaluate(() => {
      const width = document.documentElement.clientWidth;
      const out = [...document.querySelectorAll("body *")].filter((each) => {
        const box = each.getBoundingClientRect();
        return box.width > 1 && box.height > 1 && box.right > width + 0.5;
      });
      return { wider: document.documentElement.scrollWidth - width, out: out.map((each) => each.outerHTML.slice(0, 80)) };
    });
  },
  async is_visible({ state, command }) {
    return state.page.isVisible(command.selector);
  },
  async text({ state, command }) {
    return state.page.textContent(command.selector);
  },
  async color({ state, command }) {
    return state.page.evaluate((selector) => getComputedStyle(document.querySelector(selector)).backgroundColor, command.selector);
  },
  async screenshot({ state, command }) {
    await state.page.screenshot({ path: command.path, fullPage: true });
  },
  async close({ state }) {
    await state.page.close();
  },
};

async function main() {
  const browser = await chromium.launch({ executablePath: process.argv[2], args: FLAGS.split(" ") });
  const state = {};
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    const result = await commands[command.cmd]({ browser, state, command });
    say({ event: "done", id: command.id, result: result ?? null });
  }
  await browser.close();
}

main().catch((error) => {
  say({ event: "failure", error: String(error) });
  process.exitCode = 1;
});
