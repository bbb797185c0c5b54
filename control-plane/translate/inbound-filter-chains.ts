/** Filter chains of an inbound port by mutual-TLS mode and protocol (the table in §4.3). */
import { authorizationFilters } from "./authorization.ts";
import type { MovedPort } from "./authorization-permissions.ts";
import { httpConnectionManager } from "./http-connection-manager.ts";
import type { InboundPort } from "./inbound-ports.ts";
import { any, compact, type JsonObject, nonEmpty } from "./json.ts";
import { BLACK_HOLE } from "./names.ts";
import { metadataExchange, mongoProxy, statsFilter, tcpProxy } from "./network-filters.ts";
import type { MtlsMode } from "./peer-authentication.ts";
import { isHttp2, type ListenerProtocol } from "./protocols.ts";
import { INBOUND_RETRY } from "./retry-policy.ts";
import { fileCertificate, fileRoot } from "./secrets.ts";
import { allPhases, networkExtensions } from "./traffic-extensions.ts";
import type { Denial } from "./security-policies.ts";
import type { View } from "./view.ts";

export interface InboundChainsInput {
  readonly name: string;
  readonly mode: MtlsMode;
  readonly protocol: ListenerProtocol;
  /** Of the service port, where there is one. */
  readonly portProtocol: InboundPort["port"]["protocol"];
  readonly cluster: string;
  /** That the application listens on; 0 for all that no service names. */
  readonly port: number;
  /** Service port, 0 for what no service names. */
  readonly servicePort: number;
  readonly serviceHost: string;
  readonly httpStatPrefix: string;
  /** Absent where the listener has one port only. */
  readonly destinationPort: number | undefined;
  readonly denial: Denial | undefined;
  /** The port is bound under another number than policies name it by. */
  readonly moved?: MovedPort | undefined;
  readonly metadata?: JsonObject | undefined;
}

const HTTP_OVER_MESH_TLS = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
const TCP_OVER_MESH_TLS = ["istio-peer-exchange", "istio"];
const ALL_MESH_TLS = ["istio", "istio-peer-exchange", ...HTTP_OVER_MESH_TLS];
const PLAIN_HTTP = ["http/1.1", "h2c"];

interface ChainPlan {
  readonly transport: "tls" | "raw_buffer";
  readonly alpn?: readonly string[];
  readonly terminates: boolean;
  readonly is: "http" | "tcp";
}

/** In Istio's order; Envoy picks by the match. */
export function inboundChains(view: View, input: InboundChainsInput): readonly JsonObject[] {
  return plans(input.mode, input.protocol).map((plan) => chain(view, input, plan));
}

/** Whether some chain looks at the transport protocol, or at the first bytes of HTTP. */
export function inspectorsOf(
  mode: MtlsMode,
  protocol: ListenerProtocol,
): { readonly tls: boolean; readonly http: boolean } {
  return { tls: mode !== "DISABLE", http: protocol === "auto" && mode !== "STRICT" };
}

function plans(mode: MtlsMode, protocol: ListenerProtocol): readonly ChainPlan[] {
  const meshTls = (is: "http" | "tcp", alpn?: readonly string[]): ChainPlan => ({
    transport: "tls",
    ...(alpn !== undefined && { alpn }),
    terminates: true,
    is,
  });
  const raw = (is: "http" | "tcp", alpn?: readonly string[]): ChainPlan => ({
    transport: "raw_buffer",
    ...(alpn !== undefined && { alpn }),
    terminates: false,
    is,
  });
  const foreignTls: ChainPlan = { transport: "tls", terminates: false, is: "tcp" };
  if (protocol === "auto") {
    switch (mode) {
      case "STRICT":
        return [meshTls("http", HTTP_OVER_MESH_TLS), meshTls("tcp")];
      case "PERMISSIVE":
        return [
          meshTls("http", HTTP_OVER_MESH_TLS),
          raw("http", PLAIN_HTTP),
          meshTls("tcp", TCP_OVER_MESH_TLS),
          raw("tcp"),
          foreignTls,
        ];
      case "DISABLE":
        return [raw("http", PLAIN_HTTP), raw("tcp")];
    }
  }
  switch (mode) {
    case "STRICT":
      return [meshTls(protocol)];
    case "PERMISSIVE":
      return protocol === "http"
        ? [meshTls("http", ALL_MESH_TLS), raw("http")]
        : [meshTls("tcp", ALL_MESH_TLS), foreignTls, raw("tcp")];
    case "DISABLE":
      return [raw(protocol)];
  }
}

function chain(view: View, input: InboundChainsInput, plan: ChainPlan): JsonObject {
  return compact({
    name:
      plan.is === "http" && input.servicePort === 0 && input.destinationPort === undefined
        ? `${input.name}-catchall-http`
        : input.name,
    filterChainMatch: compact({
      destinationPort: input.destinationPort,
      transportProtocol: plan.transport,
      applicationProtocols: plan.alpn,
    }),
    filters: plan.is === "http" ? httpFilters(view, input) : tcpFilters(view, input),
    transportSocket: plan.terminates ? downstreamTls(view, plan.is) : undefined,
    metadata: input.metadata,
  });
}

function tcpFilters(view: View, input: InboundChainsInput): readonly JsonObject[] {
  // A policy that can't be enforced lets no connection through.
  const cluster = input.denial === undefined ? input.cluster : BLACK_HOLE;
  const { custom, rules } = authorizationFilters(view, input.moved).tcp;
  const extensions = networkExtensions(view, { port: input.servicePort, side: "SERVER" });
  return [
    ...(metadataExchange(view) ?? []),
    ...custom,
    ...extensions.AUTHN,
    ...extensions.AUTHZ,
    ...rules,
    ...extensions.STATS,
    ...extensions.UNSPECIFIED,
    ...statsFilter(view, "inbound"),
    ...(input.portProtocol === "MONGO" ? mongoProxy(view, cluster) : []),
    tcpProxy(view, { direction: "inbound", statPrefix: cluster, target: { cluster } }),
  ];
}

function httpFilters(view: View, input: InboundChainsInput): readonly JsonObject[] {
  return [
    ...(metadataExchange(view) ?? []),
    ...allPhases(networkExtensions(view, { port: input.port, side: "SERVER" })),
    httpConnectionManager(view, {
      direction: "inbound",
      port: input.port,
      statPrefix: input.httpStatPrefix,
      isGrpcWeb: input.portProtocol === "GRPC-Web",
      isHttp2: isHttp2(input.portProtocol),
      authorization: authorizationFilters(view, input.moved).http,
      routes: { inline: inboundRoutes(input) },
    }),
  ];
}

function inboundRoutes(input: InboundChainsInput): JsonObject {
  const isGrpc = input.portProtocol === "GRPC" || input.portProtocol === "GRPC-Web";
  const forward = {
    route: compact({
      cluster: input.cluster,
      timeout: "0s",
      maxStreamDuration: { maxStreamDuration: "0s", grpcTimeoutHeaderMax: "0s" },
      retryPolicy: isGrpc ? undefined : INBOUND_RETRY,
    }),
    decorator: { operation: `${input.serviceHost}:${input.servicePort}/*` },
  };
  const refuse = { directResponse: { status: 403, body: { inlineString: input.denial?.reason ?? "" } } };
  return {
    name: input.cluster,
    validateClusters: false,
    virtualHosts: [
      {
        name: `inbound|http|${input.servicePort}`,
        domains: ["*"],
        routes: [{ name: "default", match: { prefix: "/" }, ...(input.denial === undefined ? forward : refuse) }],
      },
    ],
  };
}

const CIPHERS = [
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "AES256-GCM-SHA384",
  "AES128-GCM-SHA256",
];

interface MeshMtls {
  readonly minProtocolVersion?: string;
  readonly cipherSuites?: readonly string[];
}

/** What the proxy says it has in files, else the workload's own (TLS_SERVER_CERT_CHAIN, TLS_SERVER_KEY, TLS_SERVER_ROOT_CERT). */
function serverFiles({ proxy }: View): { readonly certificate: JsonObject; readonly root: JsonObject } {
  const file = (key: string): string => (typeof proxy.metadata[key] === "string" ? proxy.metadata[key] : "");
  const [chain, key] = [file("TLS_SERVER_CERT_CHAIN"), file("TLS_SERVER_KEY")];
  return {
    certificate: fileCertificate(key === "" ? "" : chain, key),
    root: fileRoot(file("TLS_SERVER_ROOT_CERT")),
  };
}

/** Terminates mesh TLS: the peer must have a certificate of this trust domain. */
function downstreamTls(view: View, is: "http" | "tcp"): JsonObject {
  const { trustDomain, trustDomainAliases, raw } = view.mesh.meshConfig;
  const written = raw["meshMTLS"] as MeshMtls | undefined;
  const { certificate, root } = serverFiles(view);
  const minimum = written?.minProtocolVersion === "TLSV1_3" ? "TLSv1_3" : "TLSv1_2";
  const domains = [...new Set([trustDomain, ...trustDomainAliases])];
  return {
    name: "envoy.transport_sockets.tls",
    typedConfig: any("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", {
      commonTlsContext: {
        tlsParams: {
          tlsMinimumProtocolVersion: minimum,
          tlsMaximumProtocolVersion: "TLSv1_3",
          cipherSuites: nonEmpty(written?.cipherSuites ?? []) ?? CIPHERS,
        },
        tlsCertificateSdsSecretConfigs: [certificate],
        combinedValidationContext: {
          defaultValidationContext: {
            matchSubjectAltNames: domains.map((domain) => ({ prefix: `spiffe://${domain}/` })),
          },
          validationContextSdsSecretConfig: root,
        },
        alpnProtocols: is === "http" ? ["h2", "http/1.1"] : ["istio-peer-exchange", "h2", "http/1.1"],
      },
      requireClientCertificate: true,
    }),
  };
}
