/** `x-forwarded-client-cert`: who the client proved to be, told to the next hop. */
import type { Connection, PeerCertificate } from "#lib/connection.ts";
import type { ClientCertificateConfig } from "./connection-manager-config.ts";
import type { HeaderMap } from "./header-map.ts";

const header = "x-forwarded-client-cert";

/** Removes, keeps, extends or replaces the header. `isPresent` tells whether the request has one. */
export function setForwardedClientCert(
  headers: HeaderMap,
  isPresent: boolean,
  connection: Connection,
  config: ClientCertificateConfig,
): void {
  const { mode } = config;
  if (mode === "always-forward-only") return;
  const peer = connection.tls?.peer;
  if (mode === "sanitize" || peer === undefined || !peer.verified) {
    if (isPresent) headers.remove(header);
    return;
  }
  if (mode === "forward-only") return;
  const element = elementOf(connection, peer, config);
  const before = mode === "append-forward" && isPresent ? headers.getJoined(header) : undefined;
  headers.set(header, before === undefined || before === "" ? element : `${before},${element}`);
}

function elementOf(connection: Connection, peer: PeerCertificate, config: ClientCertificateConfig): string {
  const parts: string[] = [];
  for (const uri of connection.tls?.local?.uriSans ?? []) parts.push(`By=${uri}`);
  parts.push(`Hash=${peer.sha256}`);
  if (config.cert) parts.push(`Cert="${encodeURIComponent(pemOf(peer.der))}"`);
  if (config.subject) parts.push(`Subject="${escapeQuotes(peer.subject)}"`);
  if (config.uri) {
    if (peer.uriSans.length === 0) parts.push("URI=");
    for (const uri of peer.uriSans) parts.push(`URI=${uri}`);
  }
  if (config.dns) for (const dns of peer.dnsSans) parts.push(`DNS=${dns}`);
  if (config.issuer) parts.push(`Issuer="${escapeQuotes(peer.issuer)}"`);
  return parts.join(";");
}

/** A quote or backslash in a name must not end the quoted value. */
function escapeQuotes(text: string): string {
  return text.replace(/["\\]/g, "\\$&");
}

function pemOf(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
