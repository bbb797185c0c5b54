/** The machine's root certificates. */
import { existsSync, readFileSync } from "node:fs";
import tls from "node:tls";

/** Where distributions keep them; Envoy looks at the same places. */
const BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** PEM. The system's bundle, or else the one that Node brings. */
export function rootCertificates(): string {
  const path = BUNDLES.find((candidate) => existsSync(candidate));
  return path === undefined ? tls.rootCertificates.join("\n") : readFileSync(path, "utf8");
}
