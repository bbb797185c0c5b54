import { describe, expect, test } from "vitest";
import { envoyBootstrap, SDS_CLUSTER, type Json } from "./envoy-bootstrap.ts";

const identity = { "@type": "type.googleapis.com/glassmesh.config.v1.WorkloadIdentity", ca_address: "127.0.0.1:15012" };
const upstreamTls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";

const tlsCluster = (common: Json): Json => ({
  name: "xds-grpc",
  transport_socket: {
    name: "envoy.transport_sockets.tls",
    typed_config: { "@type": upstreamTls, sni: "istiod", common_tls_context: common },
  },
});

function clustersOf(bootstrap: Json): readonly Json[] {
  return (envoyBootstrap(bootstrap, "/run/sds").envoy["static_resources"] as { readonly clusters: readonly Json[] })
    .clusters;
}

describe("glassmesh agent → Envoy's bootstrap", () => {
  test("the identity is taken out, other extensions and fields stay", () => {
    const other = { name: "envoy.bootstrap.internal_listener" };
    const { identity: own, envoy } = envoyBootstrap(
      { node: { id: "x" }, bootstrap_extensions: [{ name: "glassmesh.identity", typed_config: identity }, other] },
      "/run/sds",
    );
    expect(own).toEqual(identity);
    expect(envoy).toMatchObject({ node: { id: "x" }, bootstrap_extensions: [other] });
  });

  test("secrets are asked of the agent's socket", () => {
    const [sds] = clustersOf({ bootstrapExtensions: [{ name: "glassmesh.identity", typedConfig: identity }] });
    expect(sds).toMatchObject({
      name: SDS_CLUSTER,
      load_assignment: { endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: "/run/sds" } } } }] }] },
    });
  });

  const withCluster = (cluster: Json): Json => ({
    bootstrap_extensions: [{ name: "glassmesh.identity", typed_config: identity }],
    static_resources: { clusters: [cluster] },
  });

  test("a TLS cluster shows the workload's certificate", () => {
    const [, cluster] = clustersOf(withCluster(tlsCluster({ alpn_protocols: ["h2"] })));
    expect(cluster).toMatchObject({
      name: "xds-grpc",
      transport_socket: {
        typed_config: {
          sni: "istiod",
          common_tls_context: { alpn_protocols: ["h2"], tls_certificate_sds_secret_configs: [{ name: "default" }] },
        },
      },
    });
  });

  test.each([
    ["with a certificate of its own", tlsCluster({ tls_certificates: [{}] })],
    ["without TLS", { name: "plain" }],
  ])("a cluster %s stays as it is", (_, cluster) => {
    expect(clustersOf(withCluster(cluster))[1]).toBe(cluster);
  });

  test("without an identity it says what is missing", () => {
    expect(() => envoyBootstrap({ node: {} }, "/run/sds")).toThrow(
      /no bootstrap_extensions entry "glassmesh.identity"/,
    );
  });
});
