/** Trust bundles: the roots of a trust domain, as PEM and as a SPIFFE bundle (a JWK set). Several roots at once are normal while one replaces another. */
import type { Parsed, Problem } from "#lib/problem.ts";
import { type Certificate, certificatesFromPem, certificateToPem, parseCertificate } from "./certificate.ts";

export interface TrustBundle {
  readonly trustDomain: string;
  readonly authorities: readonly Certificate[];
  /** Grows with every change of the bundle. */
  readonly sequence?: number | undefined;
  readonly refreshHintSeconds?: number | undefined;
}

/** A bundle of every certificate in a PEM text. Throws `pem-invalid`, `certificate-invalid`. */
export function bundleFromPem(trustDomain: string, pem: string, what: string): TrustBundle {
  return { trustDomain, authorities: distinct(certificatesFromPem(pem, what)) };
}

export function bundleToPem(bundle: Pick<TrustBundle, "authorities">): string {
  return bundle.authorities.map(certificateToPem).join("");
}

/** Each certificate once, in the order of first sight. */
export function distinct(certificates: readonly Certificate[]): readonly Certificate[] {
  return [...new Map(certificates.map((certificate) => [certificate.sha256, certificate])).values()];
}

/** A JWK set of the SPIFFE Trust Domain and Bundle standard. */
export interface SpiffeBundleJson {
  readonly keys: readonly BundleKey[];
  readonly spiffe_sequence?: number;
  readonly spiffe_refresh_hint?: number;
}

/** A JWK; the key itself in the fields of its type. */
export interface BundleKey {
  readonly use?: string;
  readonly kid?: string;
  readonly x5c?: readonly string[];
  readonly [parameter: string]: unknown;
}

/** One JWK an authority: `use` is `x509-svid`, no `kid`, one `x5c` (row 12). */
export function bundleToJwks(bundle: TrustBundle): SpiffeBundleJson {
  return {
    keys: bundle.authorities.map((authority) => ({
      ...authority.publicKey.export({ format: "jwk" }),
      use: "x509-svid",
      x5c: [authority.der.toString("base64")],
    })),
    ...(bundle.sequence === undefined ? {} : { spiffe_sequence: bundle.sequence }),
    ...(bundle.refreshHintSeconds === undefined ? {} : { spiffe_refresh_hint: bundle.refreshHintSeconds }),
  };
}

/**
 * The X.509 authorities of a SPIFFE bundle. Keys for other uses are passed over in silence, keys that break row 12 with
 * a warning; only a document that is no JWK set at all is an error.
 */
export function bundleFromJwks(trustDomain: string, text: string): Parsed<TrustBundle> {
  const json = parseJson(text);
  if (!isRecord(json) || !Array.isArray(json.keys)) {
    return { problems: [problem("error", "keys", 'The SPIFFE bundle is no JWK set: expected is {"keys": […]}.')] };
  }
  const problems: Problem[] = [];
  const authorities: Certificate[] = [];
  for (const [index, key] of json.keys.entries()) {
    const at = `keys[${index}]`;
    if (!isRecord(key)) problems.push(problem("warning", at, "is no JWK; it is ignored"));
    else if (key.use === "x509-svid") {
      const found = authorityOf(key);
      if (typeof found === "string") problems.push(problem("warning", at, `${found}; the key is ignored`));
      else authorities.push(found);
    }
  }
  const { spiffe_sequence: sequence, spiffe_refresh_hint: hint } = json;
  return {
    value: {
      trustDomain,
      authorities: distinct(authorities),
      sequence: isCount(sequence) ? sequence : undefined,
      refreshHintSeconds: isCount(hint) ? hint : undefined,
    },
    problems,
  };
}

function authorityOf(key: Readonly<Record<string, unknown>>): Certificate | string {
  if (key.kid !== undefined) return 'an "x509-svid" key must not have a "kid"';
  const chain: unknown = key.x5c;
  if (!Array.isArray(chain) || chain.length !== 1) return '"x5c" must hold exactly one certificate';
  const [encoded]: readonly unknown[] = chain;
  if (typeof encoded !== "string") return '"x5c" must hold base64 text';
  let authority: Certificate;
  try {
    authority = parseCertificate(Buffer.from(encoded, "base64"), '"x5c"');
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const jwk = authority.publicKey.export({ format: "jwk" });
  const isSameKey = (["kty", "crv", "x", "y", "n", "e"] as const).every((name) => jwk[name] === key[name]);
  return isSameKey ? authority : 'the key is not that of the certificate in "x5c"';
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function problem(level: Problem["level"], path: string, message: string): Problem {
  return { code: "spiffe-bundle-invalid", level, path, message };
}
