/** Run in a network namespace of its own: redirects port 8080 and prints where accepted connections were going, as JSON. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { SocketAddress } from "../connection.ts";
import { originalDestinations } from "../node-original-destination.ts";
import { nodeRuntime } from "../node-runtime.ts";

execFileSync("ip", ["link", "set", "lo", "up"]);
execFileSync("ip", ["addr", "add", "10.96.0.11/32", "dev", "lo"]);
execFileSync("python3", [join(import.meta.dirname, "nat-redirect.py"), "8080", "15001"]);

const { network } = nodeRuntime();
const ask = originalDestinations();
const answers: (SocketAddress | undefined)[] = [];
await network.listen({ address: { kind: "ip", address: "0.0.0.0", port: 15_001 } }, (connection) => {
  answers.push(ask(connection));
  connection.destroy();
});
for (const [address, port] of [
  ["10.96.0.11", 8080],
  ["127.0.0.1", 8080],
  ["127.0.0.1", 15_001],
] as const)
  await new Promise<void>((resolve) => {
    network.connect({ address: { kind: "ip", address, port } }, { onData() {}, onClose: () => resolve() });
  });
process.stdout.write(JSON.stringify(answers));
process.exit(0);
