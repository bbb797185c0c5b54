/** `UpstreamTlsContext` and `DownstreamTlsContext` → our models: where certificates come from, whom to trust, how to talk. */
import type { Message } from "@bufbuild/protobuf";
import { MessageReader } from "#protos/reader.ts";
import type { ConfigSource } from "#protos/gen/envoy/config/core/v3/config_source_pb.js";
import type { TlsCertificate } from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js";
import type { SdsSecretConfig } from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js";
import type {
  CommonTlsContext,
  DownstreamTlsContext,
  UpstreamTlsContext,
} from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js";
import { durationMs } from "../config-values.ts";
import { parseDataSource, type TextSource } from "./data-source.ts";
import { parseTlsParameters, type CipherParameters } from "./tls-parameters.ts";
import type { SecretSource } from "./types.ts";
import { parseValidationContext, type ValidationContext } from "./validation-context.ts";

/** A secret by name and origin. */
export interface SecretReference {
  readonly name: string;
  readonly source: SecretSource;
  /** 0: it is waited for without end. */
  readonly initialFetchTimeoutMs: number;
}

/** Envoy's default of `initial_fetch_timeout`. */
const DEFAULT_FETCH_TIMEOUT_MS = 15_000;

export interface CertificateFiles {
  readonly certificateChain: TextSource;
  readonly privateKey: TextSource;
  readonly password: TextSource | undefined;
}

export type CertificateSource =
  | { readonly kind: "files"; readonly files: CertificateFiles }
  | { readonly kind: "secret"; readonly secret: SecretReference };

export interface CommonContext {
  readonly certificates: readonly CertificateSource[];
  /** Static part; undefined: nothing is said about the peer's certificate. */
  readonly validation: ValidationContext | undefined;
  readonly validationSecret: SecretReference | undefined;
  readonly alpn: readonly string[];
  readonly parameters: CipherParameters;
}

export interface UpstreamContext extends CommonContext {
  readonly sni: string;
  readonly autoHostSni: boolean;
  readonly autoSniSanValidation: boolean;
  /** 0: sessions are not resumed. */
  readonly maxSessionKeys: number;
}

export interface DownstreamContext extends CommonContext {
  readonly requireClientCertificate: boolean;
  readonly requireSni: boolean;
  readonly issuesTickets: boolean;
  readonly sessionTimeoutSeconds: number | undefined;
  readonly prefersClientCiphers: boolean;
}

export function parseUpstreamContext(reader: MessageReader<UpstreamTlsContext>): UpstreamContext {
  const common = parseCommon(reader.child("commonTlsContext"), "client");
  if (common.certificates.length > 1) reader.unsupported("commonTlsContext", "a client shows one certificate");
  if (reader.get("allowRenegotiation"))
    reader.unsupported("allowRenegotiation", "renegotiation is never allowed; remove it");
  if (reader.get("enforceRsaKeyUsage") === true)
    reader.unsupported("enforceRsaKeyUsage", "key usage is checked by OpenSSL's rules only; remove it");
  const context: UpstreamContext = {
    ...common,
    sni: reader.get("sni"),
    autoHostSni: reader.get("autoHostSni"),
    autoSniSanValidation: reader.get("autoSniSanValidation"),
    maxSessionKeys: reader.get("maxSessionKeys") ?? 1,
  };
  reader.finish();
  return context;
}

/** Whether the upstream's certificate has to prove anything: a chain up to a CA, or pinned hashes. */
export function verifiesUpstream({ validation, validationSecret }: CommonContext): boolean {
  const rules = validation?.rules;
  if (rules !== undefined && rules.certificateHashes.length + rules.spkiHashes.length > 0) return true;
  return rules?.acceptUntrusted !== true && (validationSecret !== undefined || validation?.trustedCa !== undefined);
}

export function parseDownstreamContext(reader: MessageReader<DownstreamTlsContext>): DownstreamContext {
  const common = parseCommon(reader.child("commonTlsContext"), "server");
  const tickets = reader.get("sessionTicketKeysType");
  if (tickets.case === "sessionTicketKeys" || tickets.case === "sessionTicketKeysSdsSecretConfig")
    reader.unsupported("sessionTicketKeysType", "session ticket keys are the process' own; remove them");
  reader.ignore("disableStatefulSessionResumption", "the server keeps no sessions");
  reader.ignore("fullScanCertsOnSniMismatch", "every certificate is looked at for a server name");
  if (reader.get("ocspStaplePolicy") !== 0) reader.unsupported("ocspStaplePolicy");
  const timeoutMs = durationMs(reader.get("sessionTimeout"));
  const context: DownstreamContext = {
    ...common,
    requireClientCertificate: reader.get("requireClientCertificate") ?? false,
    requireSni: reader.get("requireSni") ?? false,
    issuesTickets: !(tickets.case === "disableStatelessSessionResumption" && tickets.value),
    sessionTimeoutSeconds: timeoutMs === undefined ? undefined : Math.trunc(timeoutMs / 1000),
    prefersClientCiphers: reader.get("preferClientCiphers"),
  };
  reader.finish();
  if (context.certificates.length === 0)
    reader.invalid("commonTlsContext", "No TLS certificates found for server context");
  return context;
}

function parseCommon(reader: MessageReader<CommonTlsContext> | undefined, side: "client" | "server"): CommonContext {
  if (reader === undefined)
    return {
      certificates: [],
      validation: undefined,
      validationSecret: undefined,
      alpn: [],
      parameters: parseTlsParameters(undefined, side),
    };
  const certificates: CertificateSource[] = [];
  for (const child of reader.children("tlsCertificates")) {
    const files = parseCertificateFiles(child);
    if (files !== undefined) certificates.push({ kind: "files", files });
  }
  for (const child of reader.children("tlsCertificateSdsSecretConfigs"))
    certificates.push({ kind: "secret", secret: parseSecretReference(child) });
  const context = {
    certificates,
    ...parseValidationType(reader),
    alpn: reader.get("alpnProtocols"),
    parameters: parseTlsParameters(reader.child("tlsParams"), side),
  };
  for (const protocol of context.alpn)
    if (protocol.length === 0 || protocol.length > 255) reader.invalid("alpnProtocols", "Invalid ALPN protocol string");
  reader.finish();
  return context;
}

/** A certificate with its key; both are needed. */
export function parseCertificateFiles(reader: MessageReader<TlsCertificate>): CertificateFiles | undefined {
  const certificateChain = parseDataSource(reader.child("certificateChain"));
  const privateKey = parseDataSource(reader.child("privateKey"));
  const password = parseDataSource(reader.child("password"));
  reader.ignore("watchedDirectory", "files are watched by their content wherever they are");
  reader.finish();
  if (certificateChain === undefined) reader.invalid("certificateChain", "a certificate chain is needed");
  if (privateKey === undefined) reader.invalid("privateKey", "a private key is needed");
  return certificateChain === undefined || privateKey === undefined
    ? undefined
    : { certificateChain, privateKey, password };
}

function parseValidationType(
  reader: MessageReader<CommonTlsContext>,
): Pick<CommonContext, "validation" | "validationSecret"> {
  const type = reader.get("validationContextType");
  switch (type.case) {
    case undefined:
      return { validation: undefined, validationSecret: undefined };
    case "validationContext":
      return {
        validation: parseValidationContext(childOf(reader, "validationContextType", type.value)),
        validationSecret: undefined,
      };
    case "validationContextSdsSecretConfig":
      return {
        validation: undefined,
        validationSecret: parseSecretReference(childOf(reader, "validationContextType", type.value)),
      };
    case "combinedValidationContext": {
      const combined = childOf(reader, "validationContextType", type.value);
      const base = combined.child("defaultValidationContext");
      const secret = combined.child("validationContextSdsSecretConfig");
      combined.finish();
      return {
        validation: base === undefined ? undefined : parseValidationContext(base),
        validationSecret: secret === undefined ? undefined : parseSecretReference(secret),
      };
    }
    default:
      reader.unsupported("validationContextType");
      return { validation: undefined, validationSecret: undefined };
  }
}

function parseSecretReference(reader: MessageReader<SdsSecretConfig>): SecretReference {
  const name = reader.get("name");
  const config = reader.child("sdsConfig");
  reader.finish();
  if (config === undefined) return { name, source: { kind: "static" }, initialFetchTimeoutMs: 0 };
  const timeout = config.get("initialFetchTimeout");
  return { name, source: parseSource(config), initialFetchTimeoutMs: durationMs(timeout) ?? DEFAULT_FETCH_TIMEOUT_MS };
}

function parseSource(reader: MessageReader<ConfigSource>): SecretSource {
  reader.ignore("resourceApiVersion", "v3 is the only one");
  const specifier = reader.get("configSourceSpecifier");
  reader.finish();
  switch (specifier.case) {
    case "ads":
      return { kind: "ads" };
    case "path":
      return { kind: "path", path: specifier.value };
    case "pathConfigSource":
      return { kind: "path", path: specifier.value.path };
    case "apiConfigSource": {
      const api = childOf(reader, "configSourceSpecifier", specifier.value);
      if (api.get("apiType") !== 2 && api.get("apiType") !== 3)
        api.unsupported("apiType", "SDS comes over GRPC or DELTA_GRPC");
      api.ignore("transportApiVersion", "v3 is the only one");
      api.ignore("setNodeOnFirstMessageOnly", "the node is sent with the first request of a stream");
      const service = api.children("grpcServices")[0];
      api.finish();
      const target = service?.get("targetSpecifier");
      if (target?.case === "envoyGrpc") return { kind: "grpc", cluster: target.value.clusterName };
      api.unsupported("grpcServices", "SDS needs one envoy_grpc service");
      return { kind: "static" };
    }
    default:
      reader.unsupported("configSourceSpecifier", "SDS comes from ads, api_config_source or path_config_source");
      return { kind: "static" };
  }
}

/** A reader for the message in a oneof. */
function childOf<T extends Message, K extends Parameters<MessageReader<T>["at"]>[0], V extends Message>(
  reader: MessageReader<T>,
  field: K,
  value: V,
): MessageReader<V> {
  return new MessageReader(value, reader.at(field), reader.problems);
}
