import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { originalDestinations } from "./node-original-destination.ts";
import { simulatedRuntime } from "./simulated-runtime.ts";

/** A namespace of its own needs root, `unshare` and `ip`; the redirection needs python3 and nf_tables in the kernel. */
function canRedirect(): boolean {
  const runs = (...command: [string, ...string[]]): boolean => spawnSync(command[0], command.slice(1)).status === 0;
  return process.platform === "linux" && runs("unshare", "-n", "ip", "link") && runs("python3", "--version");
}

const isPossible = canRedirect();
if (!isPossible) console.log("skipped: a redirected connection needs Linux, root, unshare, ip and python3");

describe("SO_ORIGINAL_DST", () => {
  test.skipIf(!isPossible)("tells where a redirected connection was going", () => {
    const child = join(import.meta.dirname, "testing/original-destination-child.ts");
    const { stdout, stderr } = spawnSync("unshare", ["-n", process.execPath, child], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toEqual([
      { kind: "ip", address: "10.96.0.11", port: 8080 },
      { kind: "ip", address: "127.0.0.1", port: 8080 },
      // Nobody redirected this one: it was going where it arrived.
      { kind: "ip", address: "127.0.0.1", port: 15_001 },
    ]);
  });

  test("a connection without a descriptor has none", async () => {
    const runtime = simulatedRuntime();
    const answers: unknown[] = [];
    const ask = originalDestinations();
    const address = { kind: "ip", address: "127.0.0.1", port: 1 } as const;
    await runtime.network.listen({ address }, (connection) => answers.push(ask(connection)));
    runtime.network.connect({ address }, { onData() {}, onClose() {} });
    await runtime.settle();
    expect(answers).toEqual([undefined]);
  });
});
