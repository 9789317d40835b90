// Makes tokens with jose, driven by lines of JSON: see README.md.
"use strict";

const readline = require("node:readline");

const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

async function token({ SignJWT, UnsecuredJWT, importPKCS8 }, { cmd, alg, key, claims, header }) {
  if (alg === "none") return new UnsecuredJWT(claims).encode();
  // By HMAC with the text of a public key, as with any other secret.
  const isSecret = cmd === "forge" || alg.startsWith("HS");
  const signing = isSecret ? new TextEncoder().encode(key) : await importPKCS8(key, alg);
  return new SignJWT(claims).setProtectedHeader({ ...header, alg, typ: "JWT" }).sign(signing);
}

async function main() {
  // Found by NODE_PATH, which `import` does not look at.
  const jose = require("jose");
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    say({ event: "done", id: command.id, result: await token(jose, command) });
  }
}

main().catch((error) => {
  say({ event: "failure", error: String(error) });
  process.exitCode = 1;
});
