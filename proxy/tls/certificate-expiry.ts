/** `ssl.certificate.<name>.expiration_unix_time_seconds`: when what a TLS context works with expires. */
import { leafOf } from "./peer-certificates.ts";
import type { TlsMaterial } from "./material.ts";
import type { CommonContext } from "./tls-context.ts";
import type { TlsStats } from "./tls-stats.ts";

/** Certificates that no secret names are called so by Envoy, whatever is in them. */
const UNNAMED = "e3b0c442";

/** Sets the gauges of one context: by the name of the secret, or one name for all that came with the configuration. */
export function recordExpiry(stats: TlsStats, context: CommonContext, material: TlsMaterial): void {
  for (const [index, source] of context.certificates.entries()) {
    const leaf = leafOf(material.certificates[index]?.certificateChain ?? "");
    const name = source.kind === "secret" ? source.secret.name : `unnamed_cert_${UNNAMED}`;
    if (leaf !== undefined) stats.setExpiry(name, Math.trunc(leaf.validToMs / 1000));
  }
  // A bundle of the system's roots has no one date.
  const { validation, validationSecret } = context;
  if (validationSecret === undefined && validation?.trustedCa === "system") return;
  const ca = leafOf(material.trust?.trustedCa ?? "");
  if (ca !== undefined)
    stats.setExpiry(validationSecret?.name ?? `unnamed_ca_cert_${UNNAMED}`, Math.trunc(ca.validToMs / 1000));
}
