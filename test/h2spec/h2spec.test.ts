/** h2spec's cases of RFC 9113 and RFC 7541 against a server made of our codec: every one passes, in strict mode too. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { needProgram } from "#test/needs.ts";
import { answeringServer } from "./answering-server.ts";

const run = promisify(execFile);
const go = needProgram("go", "https://go.dev/dl: it builds h2spec");

/** h2spec, built once a machine. */
async function h2spec(): Promise<string> {
  const folder = join(tmpdir(), "glassmesh-h2spec");
  const program = join(folder, "h2spec");
  if (!existsSync(program))
    await run(go.path, ["install", "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"], {
      env: { ...process.env, GOBIN: folder },
    });
  return program;
}

test.skipIf(go.missing !== undefined).for([
  ["a malformed message costs its stream", true],
  ["a malformed message costs the connection", false],
] as const)(
  go.missing === undefined ? "h2spec passes where %s" : `h2spec: ${go.missing}`,
  { timeout: 240_000 },
  async ([, streamErrorOnInvalidMessage]) => {
    const program = await h2spec();
    const server = await answeringServer({ streamErrorOnInvalidMessage });
    try {
      const { stdout } = await run(program, ["-h", "127.0.0.1", "-p", String(server.port), "--strict", "-o", "5"]);
      expect(stdout).toContain("146 tests, 146 passed, 0 skipped, 0 failed");
    } catch (error) {
      // It ends with 1 when a case fails: its report says which.
      throw new Error((error as { stdout?: string }).stdout ?? String(error), { cause: error });
    } finally {
      await server.close();
    }
  },
);
