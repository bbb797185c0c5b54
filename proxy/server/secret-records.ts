/** Remembers which secrets are in use, for `/certs` and `/config_dump`. Private keys are never written. */
import { X509Certificate } from "node:crypto";
import type { Clock } from "#lib/runtime.ts";
import type { CertificateDetails, CertificateView } from "../admin/server-endpoints.ts";
import type { JsonObject } from "../admin/field-mask.ts";
import type { Secret, SecretProvider } from "../tls/types.ts";
import type { SecretEntry } from "./dump-sections.ts";

export interface SecretRecords {
  /** The provider that is watched. */
  readonly provider: SecretProvider;
  entries(): readonly SecretEntry[];
  certificates(): readonly CertificateView[];
  /** Days until the first certificate ends; Envoy's 4294967295 when there is none. */
  daysUntilFirstExpires(): number;
}

interface Entry {
  readonly name: string;
  readonly isStatic: boolean;
  users: number;
  secret: Secret | undefined;
  lastUpdatedMs: number;
}

const NEVER = 4_294_967_295;
const DAY_MS = 86_400_000;
const REDACTED = Buffer.from("[redacted]").toString("base64");

/** Watches a provider. */
export function recordSecrets(inner: SecretProvider, clock: Clock): SecretRecords {
  const entries = new Map<string, Entry>();
  return {
    provider: {
      subscribe(name, onUpdate, source, wait) {
        const key = `${source?.kind ?? "static"} ${name}`;
        const entry = entries.get(key) ?? entryOf(name, source?.kind === undefined || source.kind === "static", clock);
        entries.set(key, entry);
        entry.users++;
        const subscription = inner.subscribe(
          name,
          (secret) => {
            entry.secret = secret;
            entry.lastUpdatedMs = clock.now();
            onUpdate(secret);
          },
          source,
          wait,
        );
        return {
          close() {
            subscription.close();
            if (--entry.users === 0) entries.delete(key);
          },
        };
      },
    },
    entries: () => [...entries.values()].map(dumpEntry),
    certificates: () => [...entries.values()].flatMap((entry) => certificateView(entry, clock.now())),
    daysUntilFirstExpires() {
      const days = [...entries.values()]
        .flatMap((entry) => certificateView(entry, clock.now()))
        .flatMap(({ chain }) => chain.map(({ daysUntilExpiration }) => daysUntilExpiration));
      return days.length === 0 ? NEVER : Math.min(...days);
    },
  };
}

function entryOf(name: string, isStatic: boolean, clock: Clock): Entry {
  return { name, isStatic, users: 0, secret: undefined, lastUpdatedMs: clock.now() };
}

function dumpEntry({ name, isStatic, secret, lastUpdatedMs }: Entry): SecretEntry {
  const kind = isStatic ? "static" : secret === undefined ? "warming" : "active";
  return { name, kind, version: "", lastUpdatedMs, json: secretJson(name, secret) };
}

function secretJson(name: string, secret: Secret | undefined): JsonObject {
  if (secret === undefined) return { name };
  const bytes = (text: string): JsonObject => ({ inline_bytes: Buffer.from(text, "utf8").toString("base64") });
  return secret.kind === "certificate"
    ? {
        name,
        tls_certificate: { certificate_chain: bytes(secret.certificateChain), private_key: { inline_bytes: REDACTED } },
      }
    : { name, validation_context: { trusted_ca: bytes(secret.trustedCa) } };
}

function certificateView({ name, secret }: Entry, nowMs: number): CertificateView[] {
  if (secret === undefined) return [];
  const details = (pem: string): CertificateDetails[] => certificatesOf(pem).map((one) => detailsOf(one, name, nowMs));
  return secret.kind === "certificate"
    ? [{ caCertificates: [], chain: details(secret.certificateChain) }]
    : [{ caCertificates: details(secret.trustedCa), chain: [] }];
}

function certificatesOf(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

function detailsOf(certificate: X509Certificate, name: string, nowMs: number): CertificateDetails {
  const names = (certificate.subjectAltName ?? "").split(", ");
  const of = (kind: string): string[] =>
    names.filter((one) => one.startsWith(`${kind}:`)).map((one) => one.slice(kind.length + 1));
  const validToMs = Date.parse(certificate.validTo);
  return {
    path: `<sds: ${name}>`,
    serialNumber: certificate.serialNumber.toLowerCase(),
    dnsSans: of("DNS"),
    uriSans: of("URI"),
    ipSans: of("IP Address"),
    daysUntilExpiration: Math.max(0, Math.floor((validToMs - nowMs) / DAY_MS)),
    validFromMs: Date.parse(certificate.validFrom),
    validToMs,
  };
}
