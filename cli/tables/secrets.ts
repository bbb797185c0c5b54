/** `proxy-config secret`: istioctl's columns; certificates are public, keys are never in a dump. */
import { X509Certificate } from "node:crypto";
import { at, list, object, text, type ConfigDump } from "./config-dump.ts";
import { formatTable } from "./table.ts";

export function secretsTable(dump: ConfigDump, nowMs: number): string {
  const section = dump.section("SecretsConfigDump");
  const entries = [
    ...list(section["static_secrets"]).map((entry) => ({ entry: object(entry), status: "ACTIVE" })),
    ...list(section["dynamic_active_secrets"]).map((entry) => ({ entry: object(entry), status: "ACTIVE" })),
    ...list(section["dynamic_warming_secrets"]).map((entry) => ({ entry: object(entry), status: "WARMING" })),
  ];
  const rows = entries.flatMap(({ entry, status }) => {
    const secret = object(entry["secret"]);
    const chain = at(secret, "tls_certificate.certificate_chain");
    const source = chain === undefined ? at(secret, "validation_context.trusted_ca") : chain;
    const type = chain === undefined ? "CA" : "Cert Chain";
    const name = text(entry["name"]) || text(secret["name"]);
    const certificate = readCertificate(source);
    if (certificate === undefined) return [[name, type, status, "", "", "", ""]];
    const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
    return [
      [
        name,
        type,
        status,
        String(from <= nowMs && nowMs < to),
        certificate.serialNumber.toLowerCase(),
        iso(to),
        iso(from),
      ],
    ];
  });
  return formatTable(
    ["RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"],
    rows,
  );
}

function readCertificate(source: unknown): X509Certificate | undefined {
  const inline = text(object(source)["inline_bytes"]);
  const pem = inline === "" ? text(object(source)["inline_string"]) : Buffer.from(inline, "base64").toString("utf8");
  try {
    return pem === "" ? undefined : new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, "Z");
}
