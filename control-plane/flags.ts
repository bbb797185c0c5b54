/** The command line of the control plane → options, or a MeshError that says what is wrong with which flag. */
import { parseArgs } from "node:util";
import { MeshError } from "#lib/problem.ts";
import type { LogLevel } from "#lib/runtime.ts";
import { parseFederation } from "./ca/federated-bundles.ts";
import { durationMsFrom } from "./model/duration.ts";
import { parseCidr } from "./model/ip.ts";
import { meantOrAllowed } from "./model/near-names.ts";
import type { ControlPlaneOptions } from "./server.ts";

export interface ControlPlaneFlags {
  readonly paths: readonly string[];
  readonly options: ControlPlaneOptions;
  readonly portsFile?: string | undefined;
  readonly logLevel: LogLevel;
  readonly wantsHelp: boolean;
  readonly wantsVersion: boolean;
}

export const HELP = `glassmesh control-plane: Istio's objects in, xDS and certificates out

  -f, --filename PATH       a file or directory of manifests (YAML, JSON), followed as it changes; may be repeated,
                            later ones count over earlier ones
  --mesh-config FILE        a file with MeshConfig, over what the manifests say of it
  --state-dir DIR           where the CA's root and the token key are kept (default .glassmesh/control-plane)
  --cacerts DIR             a CA of your own: ca-cert.pem, ca-key.pem, root-cert.pem, cert-chain.pem
  --trust-domain NAME       over the mesh configuration's (cluster.local)
  --token-issuer URL        an OpenID Connect issuer whose tokens (sub: system:serviceaccount:NAMESPACE:NAME) the CA takes;
                            may be repeated. Its keys are discovered, and fetched again as they change
  --token-issuer-ca FILE    the roots that issuers are checked against (default: the system's)
  --token-audience NAME     what a token must be meant for (default istio-ca); may be repeated
  --token-review URL        a Kubernetes API server that is asked about tokens that nobody else vouches for
  --token-review-ca FILE    its CA (default: where a pod has it)
  --token-review-token FILE the control plane's own token for it (default: where a pod has it)
  --spiffe-bundle-port PORT our roots as a SPIFFE bundle over HTTPS, proved by an SVID (https_spiffe; default: not opened)
  --spiffe-bundle-cert FILE, --spiffe-bundle-key FILE
                            proved by this certificate of a public CA instead (https_web)
  --spiffe-bundle-refresh-hint TIME
                            how often others are to fetch it (default 60s)
  --federate DOMAIN=URL[,ca=FILE] or DOMAIN=URL,spiffe-id=ID,bundle=FILE
                            trusts another trust domain for its own workloads, by the bundle at URL; may be repeated.
                            bundle: its first bundle (JWKS), for endpoints that prove themselves by an SVID
  --workload-cert-ttl TIME  lifetime of workload certificates for who asks for none, as 24h
  --address IP              where to listen (default 127.0.0.1)
  --http-port PORT          /debug and /ready (default 8080)
  --monitoring-port PORT    /metrics (default 15014)
  --secure-grpc-port PORT   xDS and CA over TLS (default 15012)
  --grpc-port PORT          xDS and CA in plaintext, without proof of identity (default: not opened)
  --ports-file FILE         gets the bound ports as JSON when everything is ready; port 0 takes any free one
  --log-level LEVEL         trace, debug, info, warning, error, critical or off (default info)
  --version, --help

Environment: PILOT_DEBOUNCE_AFTER (100ms), PILOT_DEBOUNCE_MAX (10s), PILOT_JWT_PUB_KEY_REFRESH_INTERVAL (20m),
BLOCKED_CIDRS_IN_JWKS_URIS (networks that are never asked for keys, parted by commas).
Exit codes: 0 ended as asked, 1 failed, 2 misuse.
`;

const known = {
  filename: { type: "string", short: "f", multiple: true },
  "mesh-config": { type: "string" },
  "state-dir": { type: "string" },
  cacerts: { type: "string" },
  "trust-domain": { type: "string" },
  "token-issuer": { type: "string", multiple: true },
  "token-issuer-ca": { type: "string" },
  "token-audience": { type: "string", multiple: true },
  "token-review": { type: "string" },
  "token-review-ca": { type: "string" },
  "token-review-token": { type: "string" },
  "spiffe-bundle-port": { type: "string" },
  "spiffe-bundle-cert": { type: "string" },
  "spiffe-bundle-key": { type: "string" },
  "spiffe-bundle-refresh-hint": { type: "string" },
  federate: { type: "string", multiple: true },
  "workload-cert-ttl": { type: "string" },
  address: { type: "string" },
  "http-port": { type: "string" },
  "monitoring-port": { type: "string" },
  "secure-grpc-port": { type: "string" },
  "grpc-port": { type: "string" },
  "ports-file": { type: "string" },
  "log-level": { type: "string" },
  version: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** Where Kubernetes puts a pod's service account. */
const POD_SECRETS = "/var/run/secrets/kubernetes.io/serviceaccount";

const logLevels: readonly LogLevel[] = ["trace", "debug", "info", "warning", "error", "critical", "off"];

/** Throws a MeshError `usage`. */
export function readFlags(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ControlPlaneFlags {
  const { values } = parse(args);
  const level = values["log-level"] ?? "info";
  if (!isLogLevel(level)) throw usage(`--log-level ${level} is none; ${meantOrAllowed(level, logLevels)}`);
  const paths = values.filename ?? [];
  const isInfo = values.help === true || values.version === true;
  if (paths.length === 0 && !isInfo) throw usage("no manifests: name a file or directory with -f PATH.");
  const ttl = values["workload-cert-ttl"];
  return {
    paths,
    portsFile: values["ports-file"],
    logLevel: level,
    wantsHelp: values.help === true,
    wantsVersion: values.version === true,
    options: {
      address: values.address,
      ports: {
        http: portOf("http-port", values["http-port"] ?? "8080"),
        monitoring: portOf("monitoring-port", values["monitoring-port"] ?? "15014"),
        secureGrpc: portOf("secure-grpc-port", values["secure-grpc-port"] ?? "15012"),
        grpc: values["grpc-port"] === undefined ? undefined : portOf("grpc-port", values["grpc-port"]),
        bundle:
          values["spiffe-bundle-port"] === undefined
            ? undefined
            : portOf("spiffe-bundle-port", values["spiffe-bundle-port"]),
      },
      bundleEndpoint: {
        web: webCertificate(values["spiffe-bundle-cert"], values["spiffe-bundle-key"]),
        refreshHintSeconds: Math.ceil(
          duration("--spiffe-bundle-refresh-hint", values["spiffe-bundle-refresh-hint"] ?? "60s") / 1000,
        ),
      },
      federation: (values.federate ?? []).map(parseFederation),
      stateDirectory: values["state-dir"] ?? ".glassmesh/control-plane",
      caCertsDirectory: values.cacerts,
      trustDomain: values["trust-domain"],
      meshConfigFile: values["mesh-config"],
      tokens: {
        issuers: values["token-issuer"] ?? [],
        issuerCaFile: values["token-issuer-ca"],
        audiences: values["token-audience"] ?? [],
        review:
          values["token-review"] === undefined
            ? undefined
            : {
                url: values["token-review"],
                caFile: values["token-review-ca"] ?? `${POD_SECRETS}/ca.crt`,
                tokenFile: values["token-review-token"] ?? `${POD_SECRETS}/token`,
              },
      },
      workloadCertTtlMs: ttl === undefined ? undefined : duration("--workload-cert-ttl", ttl),
      debounceMs: {
        quiet: duration("PILOT_DEBOUNCE_AFTER", env["PILOT_DEBOUNCE_AFTER"] ?? "100ms"),
        max: duration("PILOT_DEBOUNCE_MAX", env["PILOT_DEBOUNCE_MAX"] ?? "10s"),
      },
      jwks: {
        blockedCidrs: cidrs("BLOCKED_CIDRS_IN_JWKS_URIS", env["BLOCKED_CIDRS_IN_JWKS_URIS"] ?? ""),
        refreshMs: duration(REFRESH_INTERVAL, env[REFRESH_INTERVAL] ?? "20m"),
      },
    },
  };
}

function parse(args: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof known; strict: true }>> {
  try {
    return parseArgs({ args: [...args], options: known, strict: true, allowPositionals: false });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const [, flag] = /Unknown option '(-[^']*)'/.exec(text) ?? [];
    if (flag !== undefined) {
      const names = Object.keys(known).map((name) => `--${name}`);
      throw usage(`unknown flag ${flag}; ${meantOrAllowed(flag, names)}`);
    }
    throw usage(`${text.split("\n")[0] ?? text}`);
  }
}

function webCertificate(
  certificateFile: string | undefined,
  keyFile: string | undefined,
): { readonly certificateFile: string; readonly keyFile: string } | undefined {
  if (certificateFile === undefined && keyFile === undefined) return undefined;
  if (certificateFile === undefined || keyFile === undefined)
    throw usage("--spiffe-bundle-cert and --spiffe-bundle-key go together.");
  return { certificateFile, keyFile };
}

function portOf(flag: string, text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(port) || port > 65_535)
    throw usage(`--${flag} takes a port from 0 to 65535 (0: any free one), not ${JSON.stringify(text)}.`);
  return port;
}

function duration(flag: string, text: string): number {
  const ms = durationMsFrom(text);
  if (ms === undefined || ms <= 0)
    throw usage(`${flag} takes a time, as 24h, 90s or 100ms, not ${JSON.stringify(text)}.`);
  return ms;
}

const REFRESH_INTERVAL = "PILOT_JWT_PUB_KEY_REFRESH_INTERVAL";

function cidrs(name: string, text: string): readonly string[] {
  const ranges = text
    .split(",")
    .map((range) => range.trim())
    .filter((range) => range !== "");
  for (const range of ranges) {
    if (parseCidr(range) === undefined || !range.includes("/"))
      throw usage(`${name} takes CIDR ranges parted by commas, as 10.0.0.0/8, not ${JSON.stringify(range)}.`);
  }
  return ranges;
}

function isLogLevel(text: string): text is LogLevel {
  return (logLevels as readonly string[]).includes(text);
}

function usage(message: string): MeshError {
  return new MeshError("usage", `${message} --help lists the flags.`);
}
