import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ServerCredentials } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import { privateKeyToPem, createKeyPair } from "#certs/keys.ts";
import { certificateToPem } from "#certs/certificate.ts";
import { createCertificateAuthority } from "#certs/certificate-authority.ts";
import { selfSignedRoot } from "#certs/signing-material.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { DeltaDiscoveryRequest, DiscoveryRequest } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { loadBootstrap } from "../bootstrap/bootstrap.ts";
import type { BootstrapModel } from "../bootstrap/model.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { grpcTargetOf } from "./grpc-target.ts";
import { createGrpcTransport } from "./grpc-transport.ts";
import { adsMethod } from "./methods.ts";
import { createXdsSources } from "./sources.ts";
import { startAdsServer, type TestAdsServer } from "./testing/ads-server.ts";
import { recordingWatcher, recordingWildcard } from "./testing/recorder.ts";
import { assignment, cluster } from "./testing/resources.ts";
import { TypeUrl, type XdsClient } from "./types.ts";

const closers: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const runtime: Runtime = nodeRuntime({ logLevel: "off" });

function bootstrapFor(apiType: string, endpoint: object, tls?: object, extras: object = {}): BootstrapModel {
  const { value, problems } = loadBootstrap(
    JSON.stringify({
      node: { id: "test-node", cluster: "test" },
      dynamic_resources: {
        ads_config: {
          api_type: apiType,
          transport_api_version: "V3",
          set_node_on_first_message_only: true,
          grpc_services: [
            {
              envoy_grpc: {
                cluster_name: "xds",
                retry_policy: { retry_back_off: { base_interval: "0.01s", max_interval: "0.02s" } },
              },
              initial_metadata: [{ key: "x-from", value: "bootstrap" }],
            },
          ],
        },
      },
      static_resources: {
        clusters: [
          {
            name: "xds",
            load_assignment: {
              cluster_name: "xds",
              endpoints: [{ lb_endpoints: [{ endpoint: { address: endpoint } }] }],
            },
            ...(tls === undefined ? {} : { transport_socket: { name: "tls", typed_config: tls } }),
          },
        ],
      },
      ...extras,
    }),
  );
  if (value === undefined) throw new Error(JSON.stringify(problems));
  return value;
}

function connect(bootstrap: BootstrapModel): XdsClient {
  const { value, problems } = createXdsSources({ runtime, scope: createStatsStore().root, bootstrap });
  if (value?.ads === undefined) throw new Error(JSON.stringify(problems));
  closers.push(() => value.close());
  return value.ads;
}

async function server(options?: Parameters<typeof startAdsServer>[0]): Promise<TestAdsServer> {
  const started = await startAdsServer(options);
  closers.push(() => started.close());
  return started;
}

function endpointOf({ port }: TestAdsServer): object {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}

describe.each([
  ["DELTA_GRPC", (request: DeltaDiscoveryRequest) => request.responseNonce],
  ["GRPC", (request: DiscoveryRequest) => request.responseNonce],
])("%s over a real connection", (apiType, nonceOf) => {
  test("resources come, are acknowledged, change, and come again after the server was away", async () => {
    const ads = await server();
    ads.set(TypeUrl.cluster, [cluster("a"), cluster("b")]);
    ads.set(TypeUrl.endpoint, [assignment("a")]);
    const client = connect(bootstrapFor(apiType, endpointOf(ads)));
    const clusters = recordingWildcard();
    const watcher = recordingWatcher();
    clusters.during = () => {
      clusters.during = undefined;
      client.resource(TypeUrl.endpoint, "a", watcher, 0);
    };
    client.wildcard(TypeUrl.cluster, clusters, 0);
    const acknowledged = (typeUrl: string, count: number): Promise<unknown> => {
      let seen = 0;
      return ads.request((request) => {
        const isAck = request.typeUrl === typeUrl && nonceOf(request as never) !== "";
        if (isAck) seen++;
        return isAck && seen === count;
      });
    };
    await Promise.all([acknowledged(TypeUrl.cluster, 1), acknowledged(TypeUrl.endpoint, 1)]);
    expect(clusters.heard[0]?.map((text) => text.replace(/@.*/, ""))).toEqual(["+a", "+b"]);
    expect(watcher.heard.length).toBe(1);
    expect(ads.requests[0]?.node?.id).toBe("test-node");
    expect(ads.requests[1]?.node).toBeUndefined();
    expect(ads.metadata[0]?.get("x-from")).toEqual(["bootstrap"]);

    ads.set(TypeUrl.cluster, [cluster("b")]);
    await acknowledged(TypeUrl.cluster, 2);
    expect(clusters.heard.at(-1)).toEqual(["-a"]);

    ads.endStreams();
    const before = ads.requests.length;
    await ads.request((request) => ads.requests.indexOf(request) >= before && request.node !== undefined);
    ads.set(TypeUrl.cluster, [cluster("b"), cluster("c")]);
    await ads.request((request) => {
      const isLate = ads.requests.indexOf(request) >= before && nonceOf(request as never) !== "";
      return isLate && clusters.heard.at(-1)?.[0]?.startsWith("+c") === true;
    });
    expect(ads.metadata.length).toBe(2);
  });
});

describe("TLS to the management server", () => {
  async function secureServer(): Promise<{ readonly ads: TestAdsServer; readonly rootFile: string }> {
    const now = runtime.clock.now();
    const rootKeys = await createKeyPair("ECDSA_P256");
    const root = selfSignedRoot(rootKeys.privateKey, "cluster.local", now);
    const material = { certificate: root, key: rootKeys.privateKey, intermediates: [], roots: [root] };
    const authority = createCertificateAuthority({ material, clock: runtime.clock });
    const keys = await createKeyPair("ECDSA_P256");
    const names = { dnsNames: ["istiod.istio-system.svc"], ipAddresses: [] };
    const { chain } = authority.signServer(
      { publicKey: keys.publicKey, publicKeyDer: keys.publicKey.export({ type: "spki", format: "der" }) },
      names,
    );
    const key = { private_key: Buffer.from(privateKeyToPem(keys.privateKey)), cert_chain: Buffer.from(chain.join("")) };
    const ads = await server({ credentials: ServerCredentials.createSsl(null, [key], false) });
    const folder = mkdtempSync(join(tmpdir(), "glassmesh-xds-"));
    closers.push(() => rmSync(folder, { recursive: true, force: true }));
    const rootFile = join(folder, "root.pem");
    writeFileSync(rootFile, certificateToPem(root));
    return { ads, rootFile };
  }

  function tlsContext(rootFile: string, san: string): object {
    return {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
      sni: "istiod.istio-system.svc",
      common_tls_context: {
        alpn_protocols: ["h2"],
        validation_context: {
          trusted_ca: { filename: rootFile },
          match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: san } }],
        },
      },
    };
  }

  test("roots and names are checked; the token of the workload goes with each stream", async () => {
    const { ads, rootFile } = await secureServer();
    const tokenFile = `${rootFile}.token`;
    writeFileSync(tokenFile, "the-token\n");
    ads.set(TypeUrl.cluster, [cluster("a")]);
    const identity = {
      bootstrap_extensions: [
        {
          name: "glassmesh.identity",
          typed_config: {
            "@type": "type.googleapis.com/glassmesh.config.v1.WorkloadIdentity",
            ca_address: "127.0.0.1:1",
            ca_root_certificate_file: rootFile,
            token_file: tokenFile,
          },
        },
      ],
    };
    const tls = tlsContext(rootFile, "istiod.istio-system.svc");
    const client = connect(bootstrapFor("DELTA_GRPC", endpointOf(ads), tls, identity));
    const clusters = recordingWildcard();
    client.wildcard(TypeUrl.cluster, clusters, 0);
    await ads.request<DeltaDiscoveryRequest>(({ responseNonce }) => responseNonce !== "");
    expect(clusters.heard.length).toBe(1);
    expect(ads.metadata[0]?.get("authorization")).toEqual(["Bearer the-token"]);
  });

  test("a server with another name is not spoken to", async () => {
    const { ads, rootFile } = await secureServer();
    const bootstrap = bootstrapFor("DELTA_GRPC", endpointOf(ads), tlsContext(rootFile, "somebody.else"));
    expect(await endOf(bootstrap)).toMatch(/SAN/);
    expect(ads.requests).toEqual([]);
  });

  test("a server of another authority is not spoken to", async () => {
    const { ads } = await secureServer();
    const { rootFile } = await secureServer();
    const bootstrap = bootstrapFor("DELTA_GRPC", endpointOf(ads), tlsContext(rootFile, "istiod.istio-system.svc"));
    expect(await endOf(bootstrap)).toContain("UNAVAILABLE");
    expect(ads.requests).toEqual([]);
  });

  test("a file that is not there ends the stream with its name", async () => {
    const { ads } = await secureServer();
    const bootstrap = bootstrapFor("DELTA_GRPC", endpointOf(ads), tlsContext("/not/there.pem", "x"));
    expect(await endOf(bootstrap)).toContain("/not/there.pem");
  });

  test("TLS that verifies nobody is refused", () => {
    const context = {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
      sni: "a",
    };
    const endpoint = { socket_address: { address: "127.0.0.1", port_value: 1 } };
    const bootstrap = bootstrapFor("DELTA_GRPC", endpoint, context);
    const { value, problems } = createXdsSources({ runtime, scope: createStatsStore().root, bootstrap });
    expect(value).toBeUndefined();
    expect(problems.map(({ message }) => message).join()).toContain("add validation_context.trusted_ca");
  });
});

/** Why the first stream ends. */
function endOf({ clusters, ads: source }: BootstrapModel): Promise<string> {
  const [xds] = clusters;
  const target = xds === undefined ? undefined : grpcTargetOf(xds).value;
  if (target === undefined || source === undefined) throw new Error("no target");
  return new Promise((resolve) => {
    const transport = createGrpcTransport({ source, target, method: adsMethod("delta"), clock: runtime.clock });
    const stream = transport.open({ onConnect() {}, onMessage() {}, onEnd: resolve });
    closers.push(() => stream.close());
  });
}
