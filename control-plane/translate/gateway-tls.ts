/** TLS that ends at a gateway: `servers[].tls` → DownstreamTlsContext (rule 105). */
import { type GatewayServer, passesTlsThrough, terminatesHttps } from "./gateway-server.ts";
import { isCipherSuite } from "../model/cipher-suites.ts";
import { any, compact, type JsonObject, nonEmpty } from "./json.ts";
import {
  CA_SUFFIX,
  credentialSecret,
  fileCertificate,
  fileRoot,
  TRUST_BUNDLE,
  WORKLOAD_CERTIFICATE,
} from "./secrets.ts";
import type { ServerTls, ServerTlsProtocol } from "./spec/gateway.ts";
import type { View } from "./view.ts";

const HTTP_ALPN = ["h2", "http/1.1"];
const MESH_TCP_ALPN = ["istio-peer-exchange", ...HTTP_ALPN];

/** Undefined where TLS passes through, or where there is none. */
export function gatewayTransportSocket(view: View, server: GatewayServer): JsonObject | undefined {
  const { tls } = server;
  if (tls === undefined || passesTlsThrough(server)) return undefined;
  const isMeshTcp = tls.mode === "ISTIO_MUTUAL" && !terminatesHttps(server);
  return {
    name: "envoy.transport_sockets.tls",
    typedConfig: any("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", {
      commonTlsContext: compact({
        ...certificates(tls),
        tlsParams: tls.mode === "ISTIO_MUTUAL" ? undefined : parameters(view, tls),
        alpnProtocols: isMeshTcp ? MESH_TCP_ALPN : HTTP_ALPN,
      }),
      requireClientCertificate: tls.mode === "MUTUAL" || tls.mode === "ISTIO_MUTUAL",
    }),
  };
}

function certificates(tls: ServerTls): JsonObject {
  const { mode } = tls;
  if (mode === "ISTIO_MUTUAL") {
    return {
      tlsCertificateSdsSecretConfigs: [WORKLOAD_CERTIFICATE],
      combinedValidationContext: validation(tls, TRUST_BUNDLE, false),
    };
  }
  const verifies = mode === "MUTUAL" || mode === "OPTIONAL_MUTUAL";
  const credentials = credentialsOf(tls);
  const [first] = credentials;
  if (first !== undefined) {
    const pinned = expectedClient(tls, true);
    const ca = `${tls.caCertCredentialName || first}${CA_SUFFIX}`;
    return {
      tlsCertificateSdsSecretConfigs: credentials.map(credentialSecret),
      ...(verifies
        ? { combinedValidationContext: validation(tls, credentialSecret(ca), true) }
        : Object.keys(pinned).length > 0 && { validationContext: pinned }),
    };
  }
  const files = (tls.tlsCertificates ?? []).length > 0 ? (tls.tlsCertificates ?? []) : [tls];
  return {
    tlsCertificateSdsSecretConfigs: files.map(({ serverCertificate, privateKey }) =>
      fileCertificate(serverCertificate ?? "", privateKey ?? ""),
    ),
    ...(verifies && { combinedValidationContext: validation(tls, fileRoot(tls.caCertificates ?? ""), false) }),
  };
}

function credentialsOf({ credentialName = "", credentialNames = [] }: ServerTls): readonly string[] {
  if (credentialNames.length > 0) return credentialNames;
  return credentialName === "" ? [] : [credentialName];
}

function validation(tls: ServerTls, ca: JsonObject, pins: boolean): JsonObject {
  const crl = tls.caCrl ?? "";
  return {
    defaultValidationContext: compact({
      ...expectedClient(tls, pins),
      crl: crl === "" ? undefined : { filename: crl },
    }),
    validationContextSdsSecretConfig: ca,
  };
}

/** Names of the client's certificate, and, beside `credentialName`, its fingerprints. */
function expectedClient(tls: ServerTls, pins: boolean): JsonObject {
  return compact({
    matchSubjectAltNames: nonEmpty((tls.subjectAltNames ?? []).map((name) => ({ exact: name }))),
    verifyCertificateSpki: pins ? nonEmpty(tls.verifyCertificateSpki ?? []) : undefined,
    verifyCertificateHash: pins ? nonEmpty(tls.verifyCertificateHash ?? []) : undefined,
  });
}

/** MeshConfig.tlsDefaults */
interface TlsDefaults {
  readonly minProtocolVersion?: ServerTlsProtocol;
  readonly cipherSuites?: readonly string[];
  readonly ecdhCurves?: readonly string[];
}

/** The server's own settings over the mesh's. */
function parameters(view: View, tls: ServerTls): JsonObject | undefined {
  const defaults = (view.mesh.meshConfig.raw["tlsDefaults"] ?? {}) as TlsDefaults;
  const minimum = versionOf(tls.minProtocolVersion) ?? versionOf(defaults.minProtocolVersion);
  const own = (tls.cipherSuites ?? []).filter(isCipherSuite);
  const result = compact({
    tlsMinimumProtocolVersion: minimum,
    tlsMaximumProtocolVersion: versionOf(tls.maxProtocolVersion),
    cipherSuites: nonEmpty([...new Set(own)]) ?? nonEmpty(defaults.cipherSuites ?? []),
    ecdhCurves: nonEmpty(defaults.ecdhCurves ?? []),
  });
  return Object.keys(result).length === 0 ? undefined : result;
}

function versionOf(version: ServerTlsProtocol | undefined): string | undefined {
  return version === undefined || version === "TLS_AUTO" ? undefined : version.replace("TLSV", "TLSv");
}
