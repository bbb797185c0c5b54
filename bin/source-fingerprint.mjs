// What tells whether a source has changed: path, size and time of every file that the programs are made of.
import { createHash } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const folders = ["lib", "protos", "certs", "proxy", "control-plane", "cli/echo"];

/**
 * @param {string} root the project's folder
 * @returns {string} hex
 */
export function sourceFingerprint(root) {
  const hash = createHash("sha256");
  for (const folder of folders) {
    for (const entry of readdirSync(join(root, folder), { recursive: true }).map(String).sort()) {
      if (!/\.(?:ts|proto|binpb)$/.test(entry) || /\.(?:test|d)\.ts$/.test(entry)) continue;
      const { size, mtimeMs } = statSync(join(root, folder, entry));
      hash.update(`${folder}/${entry} ${size} ${mtimeMs}\n`);
    }
  }
  return hash.digest("hex");
}
