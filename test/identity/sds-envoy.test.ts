/** The agent's identity, served over SDS to a real Envoy: handshakes, rotation, state-of-the-world and delta. */
import { type ChildProcess, spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tls from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openSelfSignedRoot } from "#certs/ca-files.ts";
import { type CertificateAuthority, createCertificateAuthority } from "#certs/certificate-authority.ts";
import { createKeyPair, privateKeyToPem } from "#certs/keys.ts";
import { parseCsr } from "#certs/csr.ts";
import { istioSpiffeId } from "#certs/spiffe-id.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { needEnvoy } from "../needs.ts";
import { createSdsServer, type SdsServer } from "#proxy/identity/sds-server.ts";
import { createWorkloadIdentity, type WorkloadIdentity } from "#proxy/identity/workload-identity.ts";
import { createStatsStore } from "#proxy/observability/stats-store.ts";

const envoy = needEnvoy();
if (envoy.missing !== undefined)
  process.stderr.write(`skipped: SDS is not tried against a real Envoy, ${envoy.missing}\n`);

const identityOf = (serviceAccount: string) =>
  istioSpiffeId({ trustDomain: "cluster.local", namespace: "default", serviceAccount });

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A listener that answers 200 to whoever shows a certificate of the mesh. */
function bootstrap(port: number, socketPath: string, apiType: "GRPC" | "DELTA_GRPC"): string {
  const sds = (name: string) => ({
    name,
    sds_config: {
      resource_api_version: "V3",
      api_config_source: {
        api_type: apiType,
        transport_api_version: "V3",
        grpc_services: [{ envoy_grpc: { cluster_name: "sds-grpc" } }],
      },
    },
  });
  return JSON.stringify({
    node: { id: "sidecar~127.0.0.1~web.default~default.svc.cluster.local", cluster: "web" },
    static_resources: {
      clusters: [
        {
          name: "sds-grpc",
          type: "STATIC",
          connect_timeout: "1s",
          typed_extension_protocol_options: {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
              "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: {
            cluster_name: "sds-grpc",
            endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: socketPath } } } }] }],
          },
        },
      ],
      listeners: [
        {
          name: "in",
          address: { socket_address: { address: "127.0.0.1", port_value: port } },
          filter_chains: [
            {
              transport_socket: {
                name: "envoy.transport_sockets.tls",
                typed_config: {
                  "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                  require_client_certificate: true,
                  common_tls_context: {
                    tls_certificate_sds_secret_configs: [sds("default")],
                    validation_context_sds_secret_config: sds("ROOTCA"),
                  },
                },
              },
              filters: [
                {
                  name: "envoy.filters.network.http_connection_manager",
                  typed_config: {
                    "@type":
                      "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    stat_prefix: "in",
                    http_filters: [
                      {
                        name: "envoy.filters.http.router",
                        typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
                      },
                    ],
                    route_config: {
                      virtual_hosts: [
                        {
                          name: "all",
                          domains: ["*"],
                          routes: [
                            { match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: "ok" } } },
                          ],
                        },
                      ],
                    },
                  },
                },
              ],
            },
          ],
        },
      ],
    },
  });
}

describe.skipIf(envoy.missing !== undefined)("SDS to a real Envoy", () => {
  const runtime = nodeRuntime({ writeLog: () => {} });
  let directory: string;
  let authority: CertificateAuthority;
  let identity: WorkloadIdentity;
  let sds: SdsServer;
  let proxy: ChildProcess | undefined;
  let port: number;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "glassmesh-sds-"));
    const { material } = await openSelfSignedRoot(directory, "cluster.local", Date.now());
    authority = createCertificateAuthority({ material, clock: runtime.clock });
    const client = {
      createCertificate: ({ csr }: { readonly csr: string }) =>
        Promise.resolve({
          certChain: authority.signWorkload(parseCsr(csr), identityOf("web")).chain,
          caRoots: authority.rootsPem,
        }),
      close: () => {},
    };
    const config = {
      caAddress: "-",
      caRootCertificateFile: "-",
      tokenFile: "-",
      trustDomain: "cluster.local",
      keyType: "ECDSA_P256" as const,
    };
    identity = createWorkloadIdentity({ runtime, config, client, scope: createStatsStore().root });
    sds = await createSdsServer({ socketPath: join(directory, "uds", "socket"), secrets: identity, log: runtime.log });
    port = await freePort();
  });

  afterEach(async () => {
    if (proxy !== undefined && proxy.exitCode === null) {
      const ended = new Promise((resolve) => proxy?.once("exit", resolve));
      proxy.kill("SIGKILL");
      await ended;
    }
    proxy = undefined;
    sds.close();
    identity.close();
    rmSync(directory, { recursive: true });
  });

  function startEnvoy(apiType: "GRPC" | "DELTA_GRPC"): void {
    const args = [
      "--config-yaml",
      bootstrap(port, sds.socketPath, apiType),
      "--base-id",
      String(port),
      "--concurrency",
      "1",
      "-l",
      "error",
    ];
    proxy = spawn(envoy.path, args, { stdio: "ignore" });
  }

  /** One request over mutual TLS as another workload; what the server showed. */
  async function request(serial: string[] = []): Promise<string> {
    const keys = await createKeyPair("ECDSA_P256");
    const publicKeyDer = keys.publicKey.export({ type: "spki", format: "der" });
    const { chain } = authority.signWorkload({ publicKey: keys.publicKey, publicKeyDer }, identityOf("client"));
    return new Promise((resolve, reject) => {
      const socket = tls.connect({
        host: "127.0.0.1",
        port,
        ca: authority.rootsPem,
        cert: chain.slice(0, -1).join(""),
        key: privateKeyToPem(keys.privateKey),
        checkServerIdentity: (_host, peer) => {
          const certificate = new X509Certificate(peer.raw);
          serial.push(certificate.serialNumber);
          return certificate.subjectAltName === `URI:${identityOf("web").uri}`
            ? undefined
            : new Error(String(certificate.subjectAltName));
        },
      });
      let text = "";
      socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
      socket.on("error", reject);
      socket.on("close", () => resolve(text.split("\r\n")[0] ?? ""));
      socket.write("GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n");
    });
  }

  const answer = (serial?: string[]) => request(serial).catch((error: unknown) => String(error));

  test.each(["GRPC", "DELTA_GRPC"] as const)(
    "%s: it serves with our certificate, trusts our roots, and takes each rotation",
    async (apiType) => {
      startEnvoy(apiType);
      await expect.poll(() => answer(), { timeout: 20_000, interval: 100 }).toBe("HTTP/1.1 200 OK");
      const before: string[] = [];
      await request(before);
      identity.renewNow();
      await expect
        .poll(
          async () => {
            const serial: string[] = [];
            expect(await answer(serial)).toBe("HTTP/1.1 200 OK");
            return serial[0];
          },
          { timeout: 10_000 },
        )
        .not.toBe(before[0]);
    },
  );
});
