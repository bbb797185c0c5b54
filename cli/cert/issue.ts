/** `glassmesh cert issue` and `cert export`: a new certificate of a workload, for a program outside of the mesh. */
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { type KeyType, privateKeyToPem } from "#certs/keys.ts";
import { MeshError } from "#lib/problem.ts";
import { durationMsFrom } from "#control-plane/model/duration.ts";
import { readArguments, textOption } from "../arguments.ts";
import type { CommandIo } from "../command.ts";
import { obtain, type Obtained } from "./obtain.ts";
import type { CertAction } from "./types.ts";

const KEY_TYPES: Readonly<Record<string, KeyType>> = { ec: "ECDSA_P256", rsa: "RSA_2048" };

export const issueCommand: CertAction = async (args, io) => {
  const read = readArguments("cert", args, {
    workload: { type: "string" },
    key: { type: "string" },
    ttl: { type: "string" },
    out: { type: "string" },
  });
  const keyType = KEY_TYPES[textOption(read, "key") ?? "ec"];
  if (keyType === undefined) throw new MeshError("usage", "--key takes ec or rsa; see `glassmesh cert --help`");
  const obtained = await obtain(workloadOf(read), keyType, ttlOf(textOption(read, "ttl")), io);
  write(textOption(read, "out"), pemOf(obtained), io);
  tell(obtained, io);
  return 0;
};

export const exportCommand: CertAction = async (args, io) => {
  const read = readArguments("cert", args, {
    workload: { type: "string" },
    output: { type: "string", short: "o" },
    password: { type: "string" },
    ttl: { type: "string" },
    out: { type: "string" },
  });
  const format = textOption(read, "output") ?? "pem";
  const password = textOption(read, "password");
  const out = textOption(read, "out");
  if (format !== "pem" && format !== "p12") throw new MeshError("usage", `-o takes pem or p12, not "${format}"`);
  if (format === "p12" && (password === undefined || password === "" || out === undefined)) {
    throw new MeshError("usage", "-o p12 needs --password, and --out FILE: it is no text; see `glassmesh cert --help`");
  }
  // What reads PKCS#12 is often old: RSA.
  const obtained = await obtain(workloadOf(read), "RSA_2048", ttlOf(textOption(read, "ttl")), io);
  if (format === "pem") write(out, pemOf(obtained), io);
  else {
    const { toPkcs12 } = await import("./pkcs12.ts");
    write(out, toPkcs12(obtained, password ?? ""), io);
  }
  tell(obtained, io);
  return 0;
};

function workloadOf(read: Parameters<typeof textOption>[0]): string {
  const workload = textOption(read, "workload");
  if (workload !== undefined && read.positionals.length === 0) return workload;
  throw new MeshError("usage", "name the workload with --workload NAME.NAMESPACE; see `glassmesh cert --help`");
}

function ttlOf(text: string | undefined): number {
  const ms = text === undefined ? 0 : durationMsFrom(text);
  if (ms === undefined || ms < 0) throw new MeshError("usage", `--ttl takes a time, as 24h or 90s, not "${text}"`);
  return Math.ceil(ms / 1000);
}

function pemOf({ keys, certificateChain, trustBundle }: Obtained): string {
  return privateKeyToPem(keys.privateKey) + certificateChain + trustBundle;
}

/** A file with a key is its owner's. */
function write(out: string | undefined, content: string | Uint8Array, io: CommandIo): void {
  if (out === undefined) {
    io.out(String(content));
    return;
  }
  const path = resolve(io.cwd, out);
  try {
    writeFileSync(path, content, { mode: 0o600, flag: "wx" });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MeshError("file-unwritable", `${out} can't be written: ${reason}. A file that is there is not replaced.`);
  }
}

function tell({ id, leaf }: Obtained, io: CommandIo): void {
  io.err(`${id.uri}, serial ${leaf.serialNumber}, until ${new Date(leaf.notAfterMs).toISOString()}\n`);
}
