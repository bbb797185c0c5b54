/** Two control planes of two trust domains follow each other's bundle; their workloads meet, each believed for its own domain. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tls from "node:tls";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { openSelfSignedRoot } from "#certs/ca-files.ts";
import { createCertificateAuthority, type CertificateAuthority } from "#certs/certificate-authority.ts";
import { createKeyPair, privateKeyToPem } from "#certs/keys.ts";
import { rotateRoot } from "#certs/root-rotation.ts";
import { istioSpiffeId } from "#certs/spiffe-id.ts";
import { bundleFromPem, bundleToJwks } from "#certs/trust-bundle.ts";
import { sidecarBootstrap } from "#cli/local/bootstrap.ts";
import { bundleEndpointId } from "#control-plane/ca/bundle-endpoint.ts";
import { openTokenIssuer } from "#control-plane/ca/token-issuer.ts";
import { createMemorySource } from "#control-plane/config/memory-source.ts";
import { createControlPlane, type ControlPlane } from "#control-plane/server.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { loadBootstrap } from "#proxy/bootstrap/bootstrap.ts";
import { followTrust } from "#proxy/identity/follow-trust.ts";
import { createGrpcCaClient } from "#proxy/identity/grpc-ca-client.ts";
import { createSdsServer } from "#proxy/identity/sds-server.ts";
import { createWorkloadIdentity, type WorkloadIdentity } from "#proxy/identity/workload-identity.ts";
import { createStatsStore } from "#proxy/observability/stats-store.ts";
import { createManagementServers } from "#proxy/server/management-servers.ts";
import type { TransportSocket } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import { messageFromJson } from "#protos/json.ts";
import { createTransportFactory } from "#proxy/tls/transport-factory.ts";
import type { SecretProvider } from "#proxy/tls/types.ts";
import { needEnvoy } from "../needs.ts";

const WAIT = { timeout: 20_000, interval: 50 };
const envoy = needEnvoy();
const runtime = nodeRuntime({ logLevel: "off" });
const closing: (() => Promise<unknown> | void)[] = [];
let home: string;

interface Domain {
  readonly name: string;
  readonly directory: string;
  readonly controlPlane: ControlPlane;
  readonly xdsPort: number;
  /** What only its root's owner could do. */
  readonly authority: CertificateAuthority;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Starts a control plane that follows the other's endpoint. */
async function start(
  name: string,
  port: number,
  other: { readonly name: string; readonly port: number },
): Promise<Domain> {
  const directory = join(home, name);
  const { material } = await openSelfSignedRoot(join(home, other.name), other.name, Date.now());
  const bundleFile = join(home, `${name}-knows.json`);
  const authorities = material.roots;
  writeFileSync(bundleFile, JSON.stringify(bundleToJwks({ trustDomain: other.name, authorities })));
  const own = await openSelfSignedRoot(directory, name, Date.now());
  const controlPlane = createControlPlane({
    runtime,
    sources: [createMemorySource({})],
    options: {
      stateDirectory: directory,
      trustDomain: name,
      ports: { secureGrpc: 0, bundle: port },
      bundleEndpoint: { refreshHintSeconds: 1 },
      federation: [
        {
          trustDomain: other.name,
          url: `https://127.0.0.1:${other.port}/`,
          spiffeId: bundleEndpointId(other.name),
          bundleFile,
        },
      ],
    },
  });
  const { secureGrpc = 0 } = await controlPlane.start();
  closing.push(() => controlPlane.close());
  const authority = createCertificateAuthority({ material: own.material, clock: runtime.clock });
  return { name, directory, controlPlane, xdsPort: secureGrpc, authority };
}

/** A workload of a domain: a certificate from its CA, and its roots from its xDS. */
async function workload(domain: Domain, serviceAccount: string): Promise<WorkloadIdentity> {
  const tokens = await openTokenIssuer(domain.directory, runtime.clock);
  const tokenFile = join(domain.directory, `${serviceAccount}.token`);
  writeFileSync(tokenFile, await tokens.mintToken({ namespace: "default", serviceAccount }));
  const rootCertificateFile = join(domain.directory, "ca-cert.pem");
  const place = { address: "127.0.0.1", port: domain.xdsPort };
  const json = sidecarBootstrap({
    instance: {
      namespace: "default",
      pod: serviceAccount,
      workload: serviceAccount,
      serviceAccount,
      ownerKind: "Deployment",
      labels: {},
      isGateway: false,
    } as unknown as Parameters<typeof sidecarBootstrap>[0]["instance"],
    addresses: { ip: "127.0.0.1", admin: place } as Parameters<typeof sidecarBootstrap>[0]["addresses"],
    trustDomain: domain.name,
    controlPlane: place,
    rootCertificateFile,
    tokenFile,
    workloadCertTtl: undefined,
  });
  const config = {
    caAddress: `127.0.0.1:${domain.xdsPort}`,
    caRootCertificateFile: rootCertificateFile,
    tokenFile,
    trustDomain: domain.name,
    keyType: "ECDSA_P256" as const,
  };
  const client = createGrpcCaClient({ config, clock: runtime.clock });
  const store = createStatsStore();
  const identity = createWorkloadIdentity({ runtime, config, client, scope: store.root });
  const { value: model } = loadBootstrap(JSON.stringify(json));
  if (model === undefined) throw new Error("no bootstrap");
  const servers = createManagementServers(runtime, model, store);
  const { ads } = await servers.load();
  if (ads !== undefined) followTrust(ads, identity);
  closing.push(
    () => servers.close(),
    () => identity.close(),
  );
  return identity;
}

/** PEM of the roots by trust domain that a workload believes. */
function believed(identity: WorkloadIdentity): ReadonlyMap<string, string> {
  let found: ReadonlyMap<string, string> = new Map();
  const onSecret: Parameters<SecretProvider["subscribe"]>[1] = (secret) => {
    if (secret.kind === "validation") found = secret.trustDomains ?? new Map();
  };
  identity.subscribe("ROOTCA", onSecret).close();
  return found;
}

/** A certificate that a domain's root signs for any ID, its own or not. */
async function forged(
  authority: CertificateAuthority,
  trustDomain: string,
  everyRoot = authority.rootsPem,
): Promise<SecretProvider> {
  const { publicKey, privateKey } = await createKeyPair("ECDSA_P256");
  const publicKeyDer = publicKey.export({ type: "spki", format: "der" });
  const id = istioSpiffeId({ trustDomain, namespace: "default", serviceAccount: "forged" });
  const { chain } = authority.signWorkload({ publicKey, publicKeyDer }, id);
  return {
    subscribe(name, onUpdate) {
      if (name === "default") {
        // The root goes along: what a peer sends is no reason to believe it.
        onUpdate({ kind: "certificate", certificateChain: chain.join(""), privateKey: privateKeyToPem(privateKey) });
      } else onUpdate({ kind: "validation", trustedCa: everyRoot });
      return { close() {} };
    },
  };
}

function context(kind: "Upstream" | "Downstream", secrets: SecretProvider) {
  const sds = (name: string) => ({ name, sdsConfig: { ads: {} } });
  const { value } = messageFromJson("envoy.config.core.v3.TransportSocket", {
    name: "tls",
    typedConfig: {
      "@type": `type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.${kind}TlsContext`,
      ...(kind === "Downstream" ? { requireClientCertificate: true } : {}),
      commonTlsContext: {
        tlsCertificateSdsSecretConfigs: [sds("default")],
        validationContextSdsSecretConfig: sds("ROOTCA"),
      },
    },
  });
  const socket = value as TransportSocket;
  const factory = createTransportFactory({ runtime, secrets, scope: createStatsStore().root });
  return { socket, factory };
}

/** Who met whom: `ok` with both names, or whose refusal ended it. */
async function meet(client: SecretProvider, server: SecretProvider): Promise<string> {
  const down = context("Downstream", server);
  const up = context("Upstream", client);
  const downstream = down.factory.downstream(down.socket, "").value;
  const upstream = up.factory.upstream(up.socket, "").value;
  if (downstream === undefined || upstream === undefined) throw new Error("no transports");
  const atServer = Promise.withResolvers<string>();
  const atClient = Promise.withResolvers<string | undefined>();
  const listening = await runtime.network.listen({ address: { kind: "ip", address: "127.0.0.1", port: 0 } }, (raw) => {
    downstream.accept(
      raw,
      (connection) => atServer.resolve(`ok ${connection.tls?.peer?.uriSans.join()}`),
      (reason) => atServer.resolve(`server: ${reason}`),
    );
  });
  const connection = upstream.connect(
    { address: listening.address, hostname: "" },
    {
      onData() {},
      onConnect: () => atClient.resolve(undefined),
      onClose: (error) => atClient.resolve(`client: ${error?.message}`),
    },
  );
  const said = [await atClient.promise, await atServer.promise].filter((each) => each !== undefined).join("; ");
  connection.destroy();
  await listening.close();
  downstream.close();
  upstream.close();
  return said;
}

describe("federation of two trust domains", () => {
  let a: Domain;
  let b: Domain;
  let inA: WorkloadIdentity;
  let inB: WorkloadIdentity;

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), "glassmesh-federation-"));
    const ports = { a: await freePort(), b: await freePort() };
    a = await start("a.test", ports.a, { name: "b.test", port: ports.b });
    b = await start("b.test", ports.b, { name: "a.test", port: ports.a });
    inA = await workload(a, "web");
    inB = await workload(b, "shop");
    await vi.waitFor(() => {
      for (const identity of [inA, inB])
        expect([...believed(identity).keys()].toSorted()).toEqual(["a.test", "b.test"]);
    }, WAIT);
  });

  afterAll(async () => {
    for (const close of closing.toReversed()) {
      // oxlint-disable-next-line no-await-in-loop
      await close();
    }
    rmSync(home, { recursive: true });
  });

  test("workloads of both domains meet, each with its own name", async () => {
    expect(await meet(inA, inB)).toBe("ok spiffe://a.test/ns/default/sa/web");
    expect(await meet(inB, inA)).toBe("ok spiffe://b.test/ns/default/sa/shop");
    expect(await meet(inA, inA)).toBe("ok spiffe://a.test/ns/default/sa/web");
  });

  test("a root that is believed for one domain makes no names of another", async () => {
    const aSpeaksForB = await forged(a.authority, "b.test", a.authority.rootsPem + b.authority.rootsPem);
    expect(await meet(aSpeaksForB, inA)).toMatch(/not signed by a root of trust domain b\.test/);
    expect(await meet(aSpeaksForB, inB)).toMatch(/not signed by a root of trust domain b\.test/);
    expect(await meet(inB, aSpeaksForB)).toMatch(/client: .*not signed by a root of trust domain b\.test/);
    const itself = await forged(b.authority, "b.test", a.authority.rootsPem);
    expect(await meet(itself, inA)).toBe("ok spiffe://b.test/ns/default/sa/forged");
    expect(await meet(await forged(a.authority, "c.test"), inA)).toMatch(
      /no trust bundle found for trust domain c\.test/,
    );
  });

  test("a rotation in one domain reaches the other by its endpoint", async () => {
    const before = believed(inB).get("a.test");
    await rotateRoot(a.directory, "prepare", Date.now());
    await vi.waitFor(() => {
      const roots = believed(inB).get("a.test") ?? "";
      expect(roots).not.toBe(before);
      expect(bundleFromPem("a.test", roots, "bundle").authorities).toHaveLength(2);
    }, WAIT);
    expect(readFileSync(join(a.directory, "ca-cert.pem"), "utf8")).toContain(before);
  });

  test.skipIf(envoy.missing !== undefined)("a real Envoy behind the agent believes the same", async () => {
    const directory = join(home, "envoy");
    mkdirSync(directory);
    const socketPath = join(directory, "sds.sock");
    const sds = await createSdsServer({ socketPath, secrets: inA, log: runtime.log });
    const port = await freePort();
    writeFileSync(join(directory, "envoy.json"), JSON.stringify(envoyWith(port, socketPath)));
    const child: ChildProcess = spawn(
      envoy.path,
      ["-c", join(directory, "envoy.json"), "-l", "error", "--use-dynamic-base-id", "--concurrency", "1"],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    let lastWords = "";
    child.stderr?.on("data", (chunk) => (lastWords += String(chunk)));
    const ended = new Promise((resolve) => child.once("close", resolve));
    const ask = (secrets: SecretProvider): Promise<string> => {
      let cert = "";
      let key = "";
      const keep: Parameters<SecretProvider["subscribe"]>[1] = (secret) => {
        if (secret.kind === "certificate") [cert, key] = [secret.certificateChain, secret.privateKey];
      };
      secrets.subscribe("default", keep).close();
      return new Promise((resolve) => {
        // Envoy's own certificate is not what is tried here.
        const socket = tls.connect({
          host: "127.0.0.1",
          port,
          cert,
          key,
          ca: a.authority.rootsPem,
          checkServerIdentity: () => undefined,
        });
        let text = "";
        socket.on("secureConnect", () => socket.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"));
        socket.on("data", (chunk) => (text += String(chunk)));
        socket.on("error", (error) => resolve(`refused ${error.message}`));
        socket.setTimeout(2000, () => socket.destroy());
        socket.on("close", () => resolve(text === "" ? "refused" : text.slice(0, 15)));
      });
    };
    try {
      await vi.waitFor(async () => expect(await ask(inA), lastWords).toBe("HTTP/1.1 200 OK"), WAIT);
      expect(await ask(inB)).toBe("HTTP/1.1 200 OK");
      expect(await ask(await forged(a.authority, "b.test"))).toMatch(/^refused/);
      expect(await ask(await forged(a.authority, "c.test"))).toMatch(/^refused/);
    } finally {
      child.kill("SIGKILL");
      await ended;
      sds.close();
    }
  });
});

/** A listener that answers whoever shows a certificate that is believed. */
function envoyWith(port: number, socketPath: string): unknown {
  const grpc = { envoy_grpc: { cluster_name: "sds-grpc" } };
  const secret = (name: string) => ({
    name,
    sds_config: {
      resource_api_version: "V3",
      api_config_source: { api_type: "GRPC", transport_api_version: "V3", grpc_services: [grpc] },
    },
  });
  const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
  const manager = {
    "@type": type("filters.network.http_connection_manager.v3.HttpConnectionManager"),
    stat_prefix: "in",
    http_filters: [{ name: "router", typed_config: { "@type": type("filters.http.router.v3.Router") } }],
    route_config: {
      virtual_hosts: [
        { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, direct_response: { status: 200 } }] },
      ],
    },
  };
  const tlsContext = {
    "@type": type("transport_sockets.tls.v3.DownstreamTlsContext"),
    require_client_certificate: true,
    common_tls_context: {
      tls_certificate_sds_secret_configs: [secret("default")],
      combined_validation_context: {
        default_validation_context: {},
        validation_context_sds_secret_config: secret("ROOTCA"),
      },
    },
  };
  const http2 = {
    "@type": type("upstreams.http.v3.HttpProtocolOptions"),
    explicit_http_config: { http2_protocol_options: {} },
  };
  return {
    node: { id: "a", cluster: "a" },
    static_resources: {
      clusters: [
        {
          name: "sds-grpc",
          typed_extension_protocol_options: { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2 },
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
              transport_socket: { name: "tls", typed_config: tlsContext },
              filters: [{ name: "http", typed_config: manager }],
            },
          ],
        },
      ],
    },
  };
}
