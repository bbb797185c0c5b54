/** `glassmesh cert show`: what a certificate says, from a file or as a running proxy holds it. */
import { request } from "undici";
import type { Certificate } from "#certs/certificate.ts";
import { isSelfSigned } from "#certs/certificate.ts";
import { describeKey } from "#certs/keys.ts";
import { MeshError } from "#lib/problem.ts";
import { readArguments, textOption } from "../arguments.ts";
import type { CommandIo } from "../command.ts";
import { findMesh, findWorkload } from "../local/mesh-file.ts";
import { list, object, text } from "../tables/config-dump.ts";
import { certificatesOf, isFile } from "./read-certificates.ts";
import type { CertAction } from "./types.ts";

export const showCommand: CertAction = async (args, io) => {
  const read = readArguments("cert", args, { output: { type: "string", short: "o" } });
  const [name, ...more] = read.positionals;
  const format = textOption(read, "output") ?? "short";
  if (name === undefined || more.length > 0 || !["short", "json"].includes(format)) {
    throw new MeshError(
      "usage",
      "cert show takes a workload or a file, and -o short or json; see `glassmesh cert --help`",
    );
  }
  if (isFile(name, io)) {
    const certificates = certificatesOf(name, io);
    const facts = certificates.map((certificate) => factsOf(certificate));
    if (format === "json") io.out(`${JSON.stringify(facts, undefined, 2)}\n`);
    else io.out(facts.map((each, index) => factsText(each, index)).join("\n"));
    return 0;
  }
  const held = await heldBy(name, io);
  io.out(format === "json" ? `${JSON.stringify(held, undefined, 2)}\n` : heldText(held, Date.now()));
  return 0;
};

interface Facts {
  readonly role: "leaf" | "intermediate" | "root";
  readonly names: readonly string[];
  readonly subject: string;
  readonly issuer: string;
  readonly serialNumber: string;
  readonly key: string;
  readonly validFrom: string;
  readonly validUntil: string;
  readonly sha256: string;
}

function factsOf(certificate: Certificate): Facts {
  const { uris = [], dnsNames = [], emails = [], ipAddresses = [] } = certificate.subjectAltName ?? {};
  const isCa = certificate.basicConstraints?.ca === true;
  return {
    role: isCa ? (isSelfSigned(certificate) ? "root" : "intermediate") : "leaf",
    names: [...uris, ...dnsNames, ...emails, ...ipAddresses],
    subject: certificate.subjectText,
    issuer: certificate.issuerText,
    serialNumber: certificate.serialNumber,
    key: describeKey(certificate.publicKey),
    validFrom: new Date(certificate.notBeforeMs).toISOString(),
    validUntil: new Date(certificate.notAfterMs).toISOString(),
    sha256: certificate.sha256,
  };
}

function factsText(facts: Facts, index: number): string {
  const { role, names, subject, issuer, serialNumber, key, validFrom, validUntil, sha256 } = facts;
  const rows: readonly (readonly [string, string])[] = [
    ["names", names.join(", ")],
    ["subject", subject],
    ["issuer", issuer],
    ["serial", serialNumber],
    ["key", key],
    ["valid", `${validFrom} to ${validUntil}`],
    ["sha256", sha256],
  ];
  const lines = rows.filter(([, value]) => value !== "").map(([label, value]) => `  ${label.padEnd(8)} ${value}\n`);
  return `${index}: ${role}\n${lines.join("")}`;
}

interface Held {
  readonly kind: "chain" | "ca";
  readonly names: readonly string[];
  readonly serialNumber: string;
  readonly validFrom: string;
  readonly validUntil: string;
}

/** From `/certs` of the workload's proxy; the same certificate in many contexts is one. */
async function heldBy(name: string, io: CommandIo): Promise<readonly Held[]> {
  const { sidecar, pod } = findWorkload(findMesh(io.env, io.cwd), name);
  if (sidecar === undefined) throw new MeshError("no-sidecar", `${pod} has no sidecar, so it has no certificate`);
  const { address, port } = sidecar.admin;
  const response = await request(`http://${address}:${port}/certs`).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MeshError("no-answer", `the proxy of ${pod} does not answer at ${address}:${port}: ${reason}`);
  });
  const found = new Map<string, Held>();
  for (const entry of list(object(await response.body.json())["certificates"]).map(object)) {
    for (const [field, kind] of [
      ["cert_chain", "chain"],
      ["ca_cert", "ca"],
    ] as const) {
      for (const certificate of list(entry[field]).map(object)) {
        const held: Held = {
          kind,
          names: list(certificate["subject_alt_names"]).flatMap((names) => Object.values(object(names)).map(text)),
          serialNumber: text(certificate["serial_number"]),
          validFrom: text(certificate["valid_from"]),
          validUntil: text(certificate["expiration_time"]),
        };
        found.set(`${kind} ${held.serialNumber}`, held);
      }
    }
  }
  return [...found.values()];
}

function heldText(held: readonly Held[], nowMs: number): string {
  if (held.length === 0) return "the proxy holds no certificate yet\n";
  return held
    .map(({ kind, names, serialNumber, validFrom, validUntil }) => {
      const left = Math.round((Date.parse(validUntil) - nowMs) / 1000);
      const end = left < 0 ? "EXPIRED" : `${left} s left`;
      const what = kind === "ca" ? "trusts" : "shows";
      return `${what} ${names.join(", ")}\n  serial   ${serialNumber}\n  valid    ${validFrom} to ${validUntil} (${end})\n`;
    })
    .join("");
}
