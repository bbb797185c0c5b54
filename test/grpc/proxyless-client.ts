/**
 * A gRPC application without a proxy: finds what it calls over xDS (`GRPC_XDS_BOOTSTRAP`). Takes a line of JSON for each
 * round of calls, `{target, count, headers}`, and answers with a line that says who answered how often.
 */
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import grpc from "@grpc/grpc-js";

// Published as CommonJS, and without types that fit ours.
const xds = createRequire(import.meta.url)("@grpc/grpc-js-xds") as { register(): void };
xds.register();

interface Round {
  readonly target: string;
  readonly count: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const clients = new Map<string, grpc.Client>();

function call(target: string, headers: Readonly<Record<string, string>>): Promise<string> {
  const client = clients.get(target) ?? new grpc.Client(`xds:///${target}`, grpc.credentials.createInsecure());
  clients.set(target, client);
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      "/test.Echo/whoami",
      (value: Buffer) => value,
      (value: Buffer) => value,
      Buffer.from(""),
      metadata,
      // oxlint-disable-next-line no-restricted-globals
      { deadline: new Date(Date.now() + 10_000) },
      (error, value) => resolve(error === null ? String(value) : `${grpc.status[error.code]} ${error.details}`),
    );
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const { target, count, headers = {} } = JSON.parse(line) as Round;
  const answers: Record<string, number> = {};
  for (const answer of await Promise.all(Array.from({ length: count }, () => call(target, headers)))) {
    answers[answer] = (answers[answer] ?? 0) + 1;
  }
  process.stdout.write(`${JSON.stringify(answers)}\n`);
}
for (const client of clients.values()) client.close();
process.exit(0);
