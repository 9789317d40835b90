// The official Admin UI in Chromium, driven by lines of JSON: see README.md.
"use strict";

const readline = require("node:readline");
const { chromium } = require("playwright-core");

const FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

// Each command returns what its event `done` carries as `result`.
const commands = {
  async open({ page, command }) {
    // Fonts and icons of other hosts are not needed, and cannot be had everywhere.
    const host = new URL(command.url).host;
    await page.route((url) => url.host !== host, (route) => route.abort());
    await page.goto(command.url);
  },
  async login({ page, command }) {
    const field = (label) => page.getByLabel(label, { exact: true });
    await field("Server URL").fill(command.server);
    await field("Username").fill(command.username);
    await field("Password").fill(command.password);
    await page.getByRole("button", { name: "Connect" }).click();
  },
  async reload({ page }) {
    await page.reload();
  },
  async follow({ page, command }) {
    await page.locator(`a[href="${command.href}"]`).first().click();
  },
  // Presses the button that disconnects all clients in a room.
  async disconnect_room({ page, command }) {
    await page.locator("tr", { hasText: command.room }).locator("button").last().click();
  },
  // Waits until the page shows a text.
  async shows({ page, command }) {
    try {
      await page.getByText(command.text).first().waitFor({ timeout: command.timeout });
    } catch {
      throw new Error(`the page shows no "${command.text}", but: ${await page.innerText("body")}`);
    }
  },
};

async function main() {
  const browser = await chromium.launch({ executablePath: process.argv[2], args: FLAGS.split(" ") });
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  // Less than the test that drives this waits.
  page.setDefaultTimeout(10_000);
  page.on("pageerror", (error) => say({ event: "failure", error: String(error) }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    const result = await commands[command.cmd]({ page, command });
    say({ event: "done", id: command.id, result: result ?? null });
  }
  await browser.close();
}

main().catch((error) => {
  say({ event: "failure", error: String(error) });
  process.exitCode = 1;
});
