/** The bootstrap of a Glassmesh sidecar → the one that a stock Envoy takes. Pure. */
import { MeshError } from "#lib/problem.ts";

export type Json = Readonly<Record<string, unknown>>;

/** The cluster under which Istio's xDS finds secrets. */
export const SDS_CLUSTER = "sds-grpc";

const UPSTREAM_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const IDENTITY_EXTENSION = "glassmesh.identity";

/**
 * Takes out what only our own proxy knows (the identity extension, which the agent acts on), and adds the static cluster
 * that leads to the agent's SDS socket. Keys stay as they were written. Throws a MeshError where there is no identity.
 */
export function envoyBootstrap(
  bootstrap: Json,
  sdsSocketPath: string,
): { readonly identity: Json; readonly envoy: Json } {
  const extensions = listAt(bootstrap, "bootstrap_extensions", "bootstrapExtensions");
  const own = extensions.find((extension) => extension["name"] === IDENTITY_EXTENSION);
  const identity = own?.["typed_config"] ?? own?.["typedConfig"];
  if (typeof identity !== "object" || identity === null) {
    throw new MeshError(
      "no-identity",
      `the bootstrap has no bootstrap_extensions entry "${IDENTITY_EXTENSION}": it says where the CA is and who the workload is`,
    );
  }
  const {
    bootstrap_extensions: _snake,
    bootstrapExtensions: _camel,
    static_resources,
    staticResources,
    ...rest
  } = bootstrap;
  const others = extensions.filter((extension) => extension !== own);
  const resources = (static_resources ?? staticResources ?? {}) as Json;
  const clusters = Array.isArray(resources["clusters"]) ? (resources["clusters"] as readonly Json[]) : [];
  return {
    identity: identity as Json,
    envoy: {
      ...rest,
      ...(others.length === 0 ? {} : { bootstrap_extensions: others }),
      static_resources: {
        ...resources,
        clusters: [
          sdsCluster(sdsSocketPath),
          ...clusters.map((cluster) => withCertificate(cluster, rootFileOf(identity as Json))),
        ],
      },
    },
  };
}

/**
 * Our own proxy sends its token with every stream of xDS; Envoy shows the workload's certificate instead, on every TLS
 * cluster of the bootstrap that has none of its own. Envoy reads a file of roots once: where that file is the CA's, it
 * gets the agent's roots in its place, which change with the mesh's.
 */
function withCertificate(cluster: Json, rootFile: unknown): Json {
  const socket = objectAt(cluster, "transport_socket", "transportSocket");
  const config = objectAt(socket, "typed_config", "typedConfig");
  if (config["@type"] !== UPSTREAM_TLS) return cluster;
  const common = objectAt(config, "common_tls_context", "commonTlsContext");
  if (Object.keys(common).some((key) => /^tls_?certificate/i.test(key))) return cluster;
  const { transport_socket: _snake, transportSocket: _camel, ...rest } = cluster;
  const tls = { ...withRoots(common, rootFile), tls_certificate_sds_secret_configs: [secretConfig("default")] };
  const { common_tls_context: _one, commonTlsContext: _other, ...others } = config;
  return { ...rest, transport_socket: { name: socket["name"], typed_config: { ...others, common_tls_context: tls } } };
}

function withRoots(common: Json, rootFile: unknown): Json {
  const { validation_context: _snake, validationContext: _camel, ...others } = common;
  const context = objectAt(common, "validation_context", "validationContext");
  const { trusted_ca: _one, trustedCa: _other, ...rules } = context;
  if (rootFile === undefined || objectAt(context, "trusted_ca", "trustedCa")["filename"] !== rootFile) return common;
  const sds = { default_validation_context: rules, validation_context_sds_secret_config: secretConfig("ROOTCA") };
  return { ...others, combined_validation_context: sds };
}

function rootFileOf(identity: Json): unknown {
  return identity["ca_root_certificate_file"] ?? identity["caRootCertificateFile"];
}

function secretConfig(name: string): Json {
  const grpc = {
    api_type: "GRPC",
    transport_api_version: "V3",
    grpc_services: [{ envoy_grpc: { cluster_name: SDS_CLUSTER } }],
  };
  // Without an end: the certificate comes when the CA has answered.
  return { name, sds_config: { resource_api_version: "V3", initial_fetch_timeout: "0s", api_config_source: grpc } };
}

function objectAt(value: Json, ...names: readonly string[]): Json {
  const found = names.map((name) => value[name]).find((item) => typeof item === "object" && item !== null);
  return (found ?? {}) as Json;
}

function listAt(bootstrap: Json, ...names: readonly string[]): readonly Json[] {
  const found = names.map((name) => bootstrap[name]).find((value) => Array.isArray(value));
  return (found ?? []) as readonly Json[];
}

function sdsCluster(path: string): Json {
  return {
    name: SDS_CLUSTER,
    type: "STATIC",
    connect_timeout: "1s",
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    load_assignment: {
      cluster_name: SDS_CLUSTER,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path } } } }] }],
    },
  };
}
