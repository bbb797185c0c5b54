/** `TlsParameters` → versions, ciphers and curves in OpenSSL's words. */
import type { MessageReader } from "#protos/reader.ts";
import type { TlsParameters } from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js";

export type TlsVersion = "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

export interface CipherParameters {
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** Those of TLS 1.3 first. */
  readonly ciphers: string;
  readonly ecdhCurve: string;
  readonly sigalgs: string | undefined;
}

const VERSIONS = [undefined, "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const;
const TLS13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/** Envoy's defaults, for both sides. */
const DEFAULT_CIPHERS = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
].join(":");
const DEFAULT_CURVES = "X25519MLKEM768:X25519:P-256";

const DEFAULT_PARAMETERS: CipherParameters = {
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.3",
  ciphers: `${TLS13}:${DEFAULT_CIPHERS}`,
  ecdhCurve: DEFAULT_CURVES,
  sigalgs: undefined,
};

/** Ciphers by OpenSSL name that Envoy's TLS library knows too; others it refuses. */
const KNOWN_CIPHERS = new Set([
  ...DEFAULT_CIPHERS.split(":"),
  "ECDHE-ECDSA-AES128-SHA",
  "ECDHE-RSA-AES128-SHA",
  "ECDHE-ECDSA-AES256-SHA",
  "ECDHE-RSA-AES256-SHA",
  "ECDHE-RSA-AES128-SHA256",
  "AES128-GCM-SHA256",
  "AES128-SHA",
  "AES256-GCM-SHA384",
  "AES256-SHA",
]);
const KNOWN_CURVES = new Set(["X25519", "P-256", "P-384", "P-521", "X25519MLKEM768"]);

/** Envoy's clients speak TLS 1.2 unless told otherwise, its servers 1.3 too. */
const DEFAULT_MAX = { client: "TLSv1.2", server: "TLSv1.3" } as const;

/** Reads the parameters; absent ones are Envoy's defaults. Problems go to the reader's list. */
export function parseTlsParameters(
  reader: MessageReader<TlsParameters> | undefined,
  side: "client" | "server",
): CipherParameters {
  if (reader === undefined) return { ...DEFAULT_PARAMETERS, maxVersion: DEFAULT_MAX[side] };
  const minVersion = VERSIONS[reader.get("tlsMinimumProtocolVersion")] ?? DEFAULT_PARAMETERS.minVersion;
  const maxVersion = VERSIONS[reader.get("tlsMaximumProtocolVersion")] ?? DEFAULT_MAX[side];
  if (VERSIONS.indexOf(minVersion) > VERSIONS.indexOf(maxVersion))
    reader.invalid("tlsMinimumProtocolVersion", `${minVersion} is above the maximum, ${maxVersion}`);
  const suites = reader.get("cipherSuites").flatMap((entry) => cipherNames(entry));
  for (const suite of suites)
    if (!KNOWN_CIPHERS.has(suite))
      reader.invalid("cipherSuites", `Failed to initialize cipher suites: the following cipher is unknown: ${suite}`);
  const curves = reader.get("ecdhCurves");
  for (const curve of curves)
    if (!KNOWN_CURVES.has(curve))
      reader.invalid(
        "ecdhCurves",
        `Failed to initialize ECDH curves: ${curve} (known: ${[...KNOWN_CURVES].join(", ")})`,
      );
  const sigalgs = reader.get("signatureAlgorithms");
  reader.finish();
  return {
    minVersion,
    maxVersion,
    ciphers: suites.length === 0 ? DEFAULT_PARAMETERS.ciphers : `${TLS13}:${suites.join(":")}`,
    ecdhCurve: curves.length === 0 ? DEFAULT_CURVES : curves.join(":"),
    sigalgs: sigalgs.length === 0 ? undefined : sigalgs.join(":"),
  };
}

/** `[a|b]` is a group of equal preference: OpenSSL has no such thing, the first is preferred. */
function cipherNames(entry: string): string[] {
  return entry
    .split(":")
    .flatMap((part) => (part.startsWith("[") && part.endsWith("]") ? part.slice(1, -1).split("|") : [part]))
    .filter((name) => name !== "" && !name.startsWith("TLS_"));
}
