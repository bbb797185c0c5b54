/** The Envoy bootstrap of a sidecar or gateway of a local mesh. Pure; the proxy reads it as Envoy would. */
import type { PlacedAddress } from "#control-plane/model/proxy-node.ts";
import type { InstanceAddresses } from "./addresses.ts";
import { canonicalName } from "./generated-objects.ts";
import type { PlannedInstance } from "./planned.ts";

export interface BootstrapInput {
  readonly instance: PlannedInstance;
  readonly addresses: InstanceAddresses;
  readonly trustDomain: string;
  readonly controlPlane: PlacedAddress;
  readonly rootCertificateFile: string;
  readonly tokenFile: string;
  /** Lifetime to ask for; undefined: the CA's default. */
  readonly workloadCertTtl: string | undefined;
}

const CONTROL_PLANE_NAME = "istiod.istio-system.svc";

/** proto3 JSON of `envoy.config.bootstrap.v3.Bootstrap`. */
export function sidecarBootstrap(input: BootstrapInput): Readonly<Record<string, unknown>> {
  const { instance, addresses, controlPlane } = input;
  const dnsDomain = `${instance.namespace}.svc.cluster.local`;
  const ads = { ads: {}, initial_fetch_timeout: "0s", resource_api_version: "V3" };
  return {
    node: {
      id: `${instance.isGateway ? "router" : "sidecar"}~${addresses.ip}~${instance.pod}.${instance.namespace}~${dnsDomain}`,
      cluster: `${canonicalName(instance)}.${instance.namespace}`,
      metadata: nodeMetadata(input),
    },
    admin: { address: socketAddress(addresses.admin) },
    bootstrap_extensions: [
      {
        name: "glassmesh.identity",
        typed_config: {
          "@type": "type.googleapis.com/glassmesh.config.v1.WorkloadIdentity",
          ca_address: `${controlPlane.address}:${controlPlane.port}`,
          ca_root_certificate_file: input.rootCertificateFile,
          token_file: input.tokenFile,
          trust_domain: input.trustDomain,
          ...(input.workloadCertTtl === undefined ? {} : { requested_ttl: input.workloadCertTtl }),
        },
      },
    ],
    dynamic_resources: {
      ads_config: {
        api_type: "DELTA_GRPC",
        transport_api_version: "V3",
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: "xds-grpc" } }],
      },
      cds_config: ads,
      lds_config: ads,
    },
    static_resources: { clusters: [xdsCluster(controlPlane, input.rootCertificateFile)] },
  };
}

function xdsCluster(controlPlane: PlacedAddress, rootCertificateFile: string): unknown {
  return {
    name: "xds-grpc",
    type: "STATIC",
    connect_timeout: "1s",
    load_assignment: {
      cluster_name: "xds-grpc",
      endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(controlPlane) } }] }],
    },
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    transport_socket: {
      name: "envoy.transport_sockets.tls",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        sni: CONTROL_PLANE_NAME,
        common_tls_context: {
          alpn_protocols: ["h2"],
          validation_context: {
            trusted_ca: { filename: rootCertificateFile },
            match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: CONTROL_PLANE_NAME } }],
          },
        },
      },
    },
  };
}

/** What istiod's agent tells of itself (§4.6). */
function nodeMetadata({ instance, addresses, trustDomain }: BootstrapInput): Readonly<Record<string, unknown>> {
  return {
    NAME: instance.pod,
    NAMESPACE: instance.namespace,
    INSTANCE_IPS: addresses.ip,
    CLUSTER_ID: "Kubernetes",
    MESH_ID: trustDomain,
    ...(instance.isGateway ? {} : { INTERCEPTION_MODE: "NONE" }),
    ISTIO_VERSION: "1.32.0",
    SERVICE_ACCOUNT: instance.serviceAccount,
    WORKLOAD_NAME: instance.workload,
    OWNER: `kubernetes://apis/${instance.ownerKind === "Pod" ? "v1" : "apps/v1"}/namespaces/${instance.namespace}/${instance.ownerKind.toLowerCase()}s/${instance.workload}`,
    LABELS: {
      ...(instance.isGateway ? {} : { "security.istio.io/tlsMode": "istio" }),
      "service.istio.io/canonical-name": canonicalName(instance),
      "service.istio.io/canonical-revision": instance.labels["version"] ?? "latest",
      ...instance.labels,
    },
    PROXY_CONFIG: {},
  };
}

function socketAddress(placed: PlacedAddress): unknown {
  return { socket_address: { address: placed.address, port_value: placed.port } };
}
